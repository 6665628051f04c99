// The scatter, by Plotly: what is drawn, where a cell lies in pixels, how the view moves.
//
// The view is its centre and the units a pixel holds, the same along both axes: distances can be compared by eye.
// Plotly draws it; until it draws the next one, the browser shifts and scales what is drawn. That takes no drawing, so
// the plot follows the hand on machines without a graphics card, too. More is drawn than the stage shows.
const AROUND = 0.25; // of the stage's width and height, on each side

function cellPlot(stage, data, { outcomes, size, moved }) {
  const chart = stage.querySelector(".chart");
  const kind = hasWebGL() ? "scattergl" : "scatter";
  const INK = "#1f1f1f";
  // A shape for each outcome, so that wrong cells are told apart without colours; drawn in this order.
  const LOOKS = {
    right: { symbol: "circle", size },
    unknown: { symbol: "square", size: 0.9 * size },
    wrong: { symbol: "x", size: 1.25 * size },
  };
  let view = fitted();
  let drawn = view;
  let waiting = 0;
  let shown = [];
  let colour = () => INK;
  let live = false;

  function fitted() {
    const lines = [...data.curves, ...data.targets];
    const [left, right] = extent(data.x.concat(...lines.map((line) => line.x)));
    const [low, high] = extent(data.y.concat(...lines.map((line) => line.y)));
    // Room for markers, and for the names at the ends of the curves.
    const unit = Math.max((right - left) / (stage.clientWidth - 72), (high - low) / (stage.clientHeight - 56));
    return { x: (left + right) / 2, y: (low + high) / 2, unit: unit || 0.01 };
  }

  function ranges() {
    const [across, up] = [stage.clientWidth, stage.clientHeight].map((side) => (0.5 + AROUND) * side * view.unit);
    return { "xaxis.range": [view.x - across, view.x + across], "yaxis.range": [view.y - up, view.y + up] };
  }

  function layout() {
    const range = ranges();
    const axis = { visible: false, showgrid: false, zeroline: false, autorange: false };
    return {
      width: (1 + 2 * AROUND) * stage.clientWidth,
      height: (1 + 2 * AROUND) * stage.clientHeight,
      margin: { l: 0, r: 0, t: 0, b: 0 },
      xaxis: { ...axis, range: range["xaxis.range"] },
      yaxis: { ...axis, range: range["yaxis.range"] },
      showlegend: false,
      paper_bgcolor: "white",
      plot_bgcolor: "white",
      annotations: data.curves.flatMap(ends),
    };
  }

  // An arrow where a curve ends, for its direction, and its name.
  function ends({ name, x, y }) {
    const last = x.length - 1;
    const before = Math.max(0, last - 4);
    const [dx, dy] = [x[last] - x[before], y[last] - y[before]];
    const length = Math.hypot(dx, dy);
    if (!length) return [];
    const tip = { x: x[last], y: y[last] };
    // Plotly reads some HTML in texts; a name is to be read as it is.
    const text = name.replaceAll("&", "&amp;").replaceAll("<", "&lt;");
    return [
      { ...tip, ax: x[before], ay: y[before], axref: "x", ayref: "y", text: "", arrowhead: 2, arrowsize: 1.1,
        arrowwidth: 2, arrowcolor: INK },
      { ...tip, text: `<b>${text}</b>`, showarrow: false, yshift: dy < 0 ? -12 : 12, yanchor: dy < 0 ? "top" : "bottom",
        bgcolor: "rgba(255,255,255,0.85)", borderpad: 2, font: { size: 12, color: INK } },
    ];
  }

  function traces() {
    const cells = Object.entries(LOOKS).map(([outcome, look]) => {
      const own = shown.filter((i) => outcomes[i] === outcome);
      return {
        type: kind, mode: "markers", name: outcome, customdata: own,
        x: own.map((i) => data.x[i]), y: own.map((i) => data.y[i]),
        marker: { ...look, color: own.map(colour), opacity: 0.9,
          line: { width: 0.6, color: outcome === "wrong" ? INK : "rgba(31,31,31,0.55)" } },
      };
    });
    const line = { type: "scatter", mode: "lines", line: { color: INK, width: 2 } };
    const halo = { ...line, line: { color: "rgba(255,255,255,0.85)", width: 6 } };
    const dots = { type: "scatter", mode: "markers",
      marker: { symbol: "circle", size: 8, color: "white", line: { color: INK, width: 1.6 } } };
    return [
      ...cells,
      ...data.curves.flatMap((curve) => [{ ...halo, ...curve }, { ...line, ...curve }]),
      ...data.targets.map((target) => ({ ...dots, ...target })),
    ];
  }

  function redraw() {
    // Hidden parts of a page have no width; the observer below calls again when they get one.
    if (!stage.clientWidth) return;
    const options = { staticPlot: true, plotGlPixelRatio: window.devicePixelRatio };
    settled(() => Plotly.react(chart, traces(), layout(), options));
    live = true;
  }

  function settled(draw) {
    clearTimeout(waiting);
    drawn = view;
    draw();
    chart.style.transform = "";
  }

  const settle = () => settled(() => Plotly.relayout(chart, ranges()));

  function look(next) {
    view = next;
    const scale = drawn.unit / view.unit;
    const [x, y] = [(drawn.x - view.x) / view.unit, (view.y - drawn.y) / view.unit];
    chart.style.transform = `translate(${x}px, ${y}px) scale(${scale})`;
    moved();
    clearTimeout(waiting);
    // At once where the stage would show what is not drawn.
    const bare = (shift, side) => (0.5 + AROUND) * side * scale - Math.abs(shift) < 0.5 * side;
    if (live) waiting = setTimeout(settle, bare(x, stage.clientWidth) || bare(y, stage.clientHeight) ? 0 : 150);
  }

  let width = stage.clientWidth;
  new ResizeObserver(() => {
    if (!stage.clientWidth) return;
    // What was seen stays in sight.
    view = width ? { ...view, unit: (view.unit * width) / stage.clientWidth } : fitted();
    width = stage.clientWidth;
    redraw();
    moved();
  }).observe(stage);

  return {
    draw(newShown, newColour) {
      [shown, colour] = [newShown, newColour];
      redraw();
    },
    at: (i) => [
      stage.clientWidth / 2 + (data.x[i] - view.x) / view.unit,
      stage.clientHeight / 2 - (data.y[i] - view.y) / view.unit,
    ],
    fit: () => look(fitted()),
    // The point under the pixel stays under it.
    zoom(factor, [px, py] = [stage.clientWidth / 2, stage.clientHeight / 2]) {
      const unit = view.unit / factor;
      const [right, up] = [px - stage.clientWidth / 2, stage.clientHeight / 2 - py];
      look({ x: view.x + right * (view.unit - unit), y: view.y + up * (view.unit - unit), unit });
    },
    pan: (x, y) => look({ ...view, x: view.x - x * view.unit, y: view.y + y * view.unit }),
    centre: (i) => look({ ...view, x: data.x[i], y: data.y[i] }),
  };
}

function extent(values) {
  return values.length ? [Math.min(...values), Math.max(...values)] : [0, 1];
}

// Machines without WebGL get the same picture as SVG, which is slower.
function hasWebGL() {
  const context = document.createElement("canvas").getContext("webgl");
  context?.getExtension("WEBGL_lose_context")?.loseContext(); // browsers allow a page few of them
  return Boolean(context);
}
