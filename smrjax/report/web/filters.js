// The form: which cells are shown, and in which colours. Its inputs are the only state there is. They are made for the
// cells of all folds, so that what is chosen stays chosen when another fold is.
function cellFilters(form, data, changed) {
  const NONE = "#bdbdbd"; // of cells without a class or without t
  const GLYPHS = { right: "●", wrong: "✖", unknown: "■" };
  const known = data.labels.some((c) => c >= 0);
  const times = data.t.filter((t) => t !== null);
  const [least, most] = extent(times);
  const [first, last] = [Math.floor(100 * least) / 100, Math.ceil(100 * most) / 100];
  const outcomes = data.labels.map((c, i) => (c < 0 ? "unknown" : c === data.predicted[i] ? "right" : "wrong"));
  const part = (name) => form.querySelector(name);
  const colourOf = (c) => (c < 0 ? NONE : data.colours[c]);
  const titleOf = (c) => (c < 0 ? "unknown" : data.titles[c]);

  // A check box with its words; `sign` stands for what it shows in the plot.
  function check(name, value, words, sign) {
    const label = element("label", { className: "check" });
    const box = element("input", { type: "checkbox", name, value, checked: true, defaultChecked: true });
    label.append(box, ...(sign ? [sign] : []), element("span", { textContent: words }), element("output"));
    return label;
  }

  function count(group, key) {
    for (const label of part(group).querySelectorAll("label.check")) {
      label.querySelector("output").textContent = (key.get(label.firstChild.value) || 0).toLocaleString("en");
    }
  }

  // True classes, but predicted ones where the colours say so or no true one is known.
  const sort = () => (form.elements.colour.value === "predicted" || !known ? "predicted" : "labels");
  let listed = "";
  function listClasses() {
    if (listed === sort()) return;
    listed = sort();
    part(".classes legend").textContent = listed === "labels" ? "True class" : "Predicted class";
    const there = new Set(data[listed]);
    part(".classes div").replaceChildren(...[...data.groups, ["not known", [-1]]].flatMap(([name, members]) => {
      const own = members.filter((c) => there.has(c));
      const boxes = own.map((c) => check("class", c, titleOf(c), swatch(colourOf(c))));
      return own.length ? [element("p", { textContent: name }), ...boxes] : [];
    }));
  }

  const there = ["right", "wrong", "unknown"].filter((outcome) => outcomes.includes(outcome));
  part(".outcomes div").append(...there.map((outcome) =>
    check("outcome", outcome, outcome === "unknown" ? "true class unknown" : outcome,
      element("i", { textContent: GLYPHS[outcome], ariaHidden: "true" }))));
  part(".maturity").hidden = !times.length;
  form.elements.colour.querySelector("[value=t]").disabled = !times.length;
  if (!known) {
    form.elements.colour.querySelector("[value=labels]").disabled = true;
    form.elements.colour.querySelector("[value=predicted]").defaultSelected = true;
  }
  for (const [name, value] of [["from", first], ["to", last]]) {
    Object.assign(form.elements[name], { min: first, max: last, step: 0.01, defaultValue: value });
  }
  if (times.length < data.t.length) part(".without").append(check("without", "without", "cells without t", swatch(NONE)));
  part(".scale").style.background = `linear-gradient(to right, ${data.heat.join(",")})`;
  form.reset();

  const ticked = (name) => new Set([...form.querySelectorAll(`[name=${name}]:checked`)].map((box) => box.value));

  // The fold, those of its cells that all inputs let through, and the colour of each.
  function read() {
    listClasses();
    const scene = data.scenes.find(({ fold }) => String(fold) === form.elements.fold?.value) || data.scenes[0];
    const [low, high] = extent([Number(form.elements.from.value), Number(form.elements.to.value)]);
    const words = form.elements.search.value.trim().toLowerCase();
    const chosen = { class: ticked("class"), outcome: ticked("outcome") };
    const without = !form.elements.without || form.elements.without.checked;
    const counts = { class: new Map(), outcome: new Map(), without: new Map() };
    const shown = [];
    let lacking = 0;
    for (let i = scene.first; i < scene.first + scene.count; i++) {
      const t = data.t[i];
      if (t === null) lacking += 1;
      if (t === null ? !without : t < low || t > high) continue;
      if (!data.names[i].toLowerCase().includes(words)) continue;
      const own = { class: String(data[listed][i]), outcome: outcomes[i] };
      const missed = Object.keys(own).filter((name) => !chosen[name].has(own[name]));
      // A box counts the cells that it shows or would show: those that all other filters let through.
      for (const name of Object.keys(own)) {
        if (missed.every((other) => other === name)) counts[name].set(own[name], (counts[name].get(own[name]) || 0) + 1);
      }
      if (!missed.length) shown.push(i);
    }
    counts.without.set("without", lacking);
    count(".classes", counts.class);
    count(".outcomes", counts.outcome);
    count(".without", counts.without);
    part(".maturity output").textContent = `${number(low)} to ${number(high)}`;

    const by = form.elements.colour.value;
    part(".scale").hidden = by !== "t";
    const heat = (t) => data.heat[Math.round(((t - first) / (last - first || 1)) * (data.heat.length - 1))];
    const colour = by === "t" ? (i) => (data.t[i] === null ? NONE : heat(data.t[i])) : (i) => colourOf(data[by][i]);
    return { scene, shown, colour };
  }

  form.addEventListener("submit", (event) => event.preventDefault());
  // Several inputs of one frame (a slider that is dragged) are one change.
  let waiting = 0;
  const soon = () => { waiting = waiting || requestAnimationFrame(() => { waiting = 0; changed(); }); };
  form.addEventListener("input", soon);
  // A reset keeps the fold.
  form.elements.fold?.addEventListener("change", ({ target }) => {
    for (const option of target.options) option.defaultSelected = option.selected;
  });
  form.addEventListener("reset", soon); // the inputs have their first values after this event, before the next frame
  part(".ticks").addEventListener("click", (event) => {
    if (event.target.type !== "button") return;
    for (const box of form.querySelectorAll("[name=class]")) box.checked = event.target.value === "all";
    soon();
  });
  return { read, outcomes, titleOf, colourOf };
}

function element(tag, properties = {}) {
  return Object.assign(document.createElement(tag), properties);
}

function swatch(colour) {
  const dot = element("i", { className: "swatch" });
  dot.style.background = colour;
  return dot;
}

const number = (value) => value.toFixed(2).replace("-", "−");
