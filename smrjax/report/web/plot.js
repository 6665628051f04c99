// The scatter, by Plotly: what is drawn, where a cell lies in pixels, how the view moves.
//
// The view is its centre and the units a pixel holds, the same along both axes: distances can be compared by eye.
// Plotly draws it; until it draws the next one, the browser shifts and scales what is drawn. That takes no drawing, so
// the plot follows the hand on machines without a graphics card, too. More is drawn than the stage shows.
const AROUND = 0.25; // of the stage's width and height, on each side
const BUTTONS = 40; // pixels that the buttons take on the right

function cellPlot(stage, data, { outcomes, moved }) {
  const chart = stage.querySelector(".chart");
  // Browsers grant a page some 16 contexts of WebGL, and Plotly takes three a plot; SVG looks the same and is slower.
  const place = [...document.querySelectorAll(".smr-explorer")].indexOf(stage.closest(".smr-explorer"));
  const kind = place < 4 && hasWebGL() ? "scattergl" : "scatter";
  const INK = "#1f1f1f";
  // A shape for each outcome, so that wrong cells are told apart without colours; drawn in this order.
  const SHAPES = { right: ["circle", 1], unknown: ["square", 0.9], wrong: ["x", 1.25] };
  let scene = data.scenes[0];
  let view = fitted();
  let drawn = view;
  let waiting = 0;
  let shown = [];
  let colour = () => INK;

  function fitted() {
    const lines = [...scene.curves, ...scene.targets];
    const whole = (side) => extent(
      data[side].slice(scene.first, scene.first + scene.count).concat(...lines.map((line) => line[side])));
    const [[left, right], [low, high]] = [whole("x"), whole("y")];
    // Room for markers and for the names at the ends of the curves; on the right, for the buttons, too.
    const unit = Math.max((right - left) / (stage.clientWidth - 72 - BUTTONS), (high - low) / (stage.clientHeight - 56)) || 0.01;
    return { x: (left + right + BUTTONS * unit) / 2, y: (low + high) / 2, unit };
  }

  function layout() {
    const [across, up] = [stage.clientWidth, stage.clientHeight].map((side) => (0.5 + AROUND) * side * view.unit);
    const axis = { visible: false, showgrid: false, zeroline: false, autorange: false };
    return {
      width: (1 + 2 * AROUND) * stage.clientWidth,
      height: (1 + 2 * AROUND) * stage.clientHeight,
      margin: { l: 0, r: 0, t: 0, b: 0 },
      xaxis: { ...axis, range: [view.x - across, view.x + across] },
      yaxis: { ...axis, range: [view.y - up, view.y + up] },
      showlegend: false,
      paper_bgcolor: "white",
      plot_bgcolor: "white",
      shapes: [
        ...scene.curves.flatMap(drawnCurve),
        ...scene.targets.flatMap(({ x, y }) => x.map((value, k) => dot(value, y[k]))),
        ...scene.curves.map(arrowhead),
      ],
      annotations: scene.curves.map(label),
    };
  }

  // Curves are shapes and no traces: Plotly draws lines and WebGL's markers in an order of its own.
  function drawnCurve({ x, y }) {
    const path = "M" + x.map((value, k) => `${value},${y[k]}`).join("L");
    const strokes = [["white", 6, 0.85], [INK, 2, 1]];
    return strokes.map(([color, width, opacity]) => ({ type: "path", path, opacity, line: { color, width } }));
  }

  // A triangle where a curve ends, for its direction.
  function arrowhead({ x, y }) {
    const { dx, dy } = course(x, y);
    const corners = [[0, 9], [-5.5, -4], [5.5, -4]];
    const path = `M${corners.map(([side, ahead]) => [ahead * dx + side * dy, ahead * dy - side * dx]).join("L")}Z`;
    return shape({ type: "path", path, fillcolor: INK, line: { color: "white", width: 1.2 } }, x.at(-1), y.at(-1));
  }

  function dot(x, y) {
    const box = { x0: -4, x1: 4, y0: -4, y1: 4 };
    return shape({ type: "circle", ...box, fillcolor: "white", line: { color: INK, width: 1.8 } }, x, y);
  }

  // Of a size in pixels, at a place in the plot.
  const shape = (what, x, y) => ({ ...what, xsizemode: "pixel", ysizemode: "pixel", xanchor: x, yanchor: y });

  // The unit vector along which a curve ends.
  function course(x, y) {
    const before = Math.max(0, x.length - 5);
    const [dx, dy] = [x.at(-1) - x[before], y.at(-1) - y[before]];
    const length = Math.hypot(dx, dy) || 1;
    return { dx: dx / length, dy: dy / length };
  }

  function label({ name, x, y }) {
    const below = course(x, y).dy < 0;
    // Plotly reads some HTML in texts; a name is to be read as it is.
    const text = `<b>${name.replaceAll("&", "&amp;").replaceAll("<", "&lt;")}</b>`;
    return { x: x.at(-1), y: y.at(-1), text, showarrow: false, yshift: below ? -10 : 10, yanchor: below ? "top" : "bottom",
      bgcolor: "rgba(255,255,255,0.85)", borderpad: 2, font: { size: 12, color: INK } };
  }

  function traces() {
    // Fewer cells, a larger stage or a closer look: larger markers.
    const room = Math.sqrt((stage.clientWidth * stage.clientHeight) / (scene.count || 1));
    const size = Math.min(10, Math.max(4.5, 0.36 * room * Math.sqrt(fitted().unit / view.unit)));
    return Object.entries(SHAPES).map(([outcome, [symbol, scale]]) => {
      const own = shown.filter((i) => outcomes[i] === outcome);
      const rim = { width: size / 13, color: `rgba(31,31,31,${outcome === "wrong" ? 0.8 : 0.55})` };
      return {
        type: kind, mode: "markers", name: outcome, customdata: own,
        x: own.map((i) => data.x[i]), y: own.map((i) => data.y[i]),
        marker: { symbol, size: scale * size, color: own.map(colour), opacity: 0.9, line: rim },
      };
    });
  }

  function redraw() {
    // Hidden parts of a page have no width; the observer below calls again when they get one.
    if (!stage.clientWidth) return;
    clearTimeout(waiting);
    Plotly.react(chart, traces(), layout(), { staticPlot: true, plotGlPixelRatio: window.devicePixelRatio });
    drawn = view;
    chart.style.transform = "";
  }

  function look(next) {
    view = next;
    const scale = drawn.unit / view.unit;
    const [x, y] = [(drawn.x - view.x) / view.unit, (view.y - drawn.y) / view.unit];
    chart.style.transform = `translate(${x}px, ${y}px) scale(${scale})`;
    moved();
    clearTimeout(waiting);
    // At once where the stage would show what is not drawn.
    const bare = (shift, side) => (0.5 + AROUND) * side * scale - Math.abs(shift) < 0.5 * side;
    waiting = setTimeout(redraw, bare(x, stage.clientWidth) || bare(y, stage.clientHeight) ? 0 : 150);
  }

  let seen = [stage.clientWidth, stage.clientHeight];
  new ResizeObserver(() => {
    const now = [stage.clientWidth, stage.clientHeight];
    if (!now[0]) return;
    // What was seen stays in sight.
    view = seen[0] ? { ...view, unit: view.unit * Math.max(seen[0] / now[0], seen[1] / now[1]) } : fitted();
    seen = now;
    redraw();
    moved();
  }).observe(stage);

  return {
    draw(found) {
      const other = found.scene !== scene;
      ({ scene, shown, colour } = found);
      if (other) view = fitted(); // each fold has a space of its own
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

// By a loop: browsers differ in how many arguments Math.min may have.
function extent(values) {
  let [least, most] = [Infinity, -Infinity];
  for (const value of values) [least, most] = [Math.min(least, value), Math.max(most, value)];
  return values.length ? [least, most] : [0, 1];
}

function hasWebGL() {
  const context = document.createElement("canvas").getContext("webgl");
  context?.getExtension("WEBGL_lose_context")?.loseContext();
  return Boolean(context);
}
