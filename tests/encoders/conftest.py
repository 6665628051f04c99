from importlib.util import find_spec

# Doctest collection imports every file; these need torch, which the tests can do without.
collect_ignore = [] if find_spec("torch") else ["make_golden.py", "torch_models"]
collect_ignore += [] if find_spec("pytorch_grad_cam") else ["make_gradcam.py"]
