// One explorer: the pointer and the keyboard go from cell to cell, what they find is shown, said and pinned.
function explore(root) {
  const data = JSON.parse(root.querySelector("script.data").textContent);
  const [form, stage, marks, hover, said] = ["form", ".stage", ".marks", ".card", ".said"].map((s) => root.querySelector(s));
  const REACH = { mouse: 16, pen: 20, touch: 28 }; // pixels from a cell
  let scene = null; // the fold that is shown
  let shown = []; // indices of the cells that the filters let through
  let visible = new Set(); // the same
  let current = null; // the cell with the ring and the card
  let ring = null; // the cell that the tray points at

  const filters = cellFilters(form, data, update);
  const facts = cellFacts(root, data, filters);
  const plot = cellPlot(stage, data, { outcomes: filters.outcomes, moved: mark });
  const tray = cellTray(root.querySelector(".tray"), {
    card: facts.card, name: (i) => data.names[i], changed: mark, look: (i) => { ring = i; mark(); },
  });

  function update() {
    const found = filters.read();
    if (found.scene !== scene) enter(found.scene);
    shown = found.shown;
    visible = new Set(shown);
    const total = scene.count.toLocaleString("en");
    root.querySelector(".status").textContent = `${shown.length.toLocaleString("en")} of ${total} cells shown`;
    if (!visible.has(current)) show(null);
    tray.dim(visible);
    plot.draw(found);
    mark();
  }

  function enter(next) {
    // The first one was there when the page opened; nobody asked for it.
    if (scene) said.textContent = `Fold ${next.fold}: ${next.count.toLocaleString("en")} cells.`;
    scene = next;
    facts.open(scene);
    stage.ariaLabel = `Scatter of cells of fold ${scene.fold}`;
    root.querySelector(".note").textContent = scene.note;
  }

  // Rings and numbers lie over the plot, so that they follow it without a drawing by Plotly.
  function mark() {
    const rings = [...tray.pins.map((i, k) => [i, "pin", k + 1]), [current, "ring", ""], [ring, "ring", ""]];
    marks.replaceChildren(...rings.filter(([i]) => visible.has(i)).map(([i, className, textContent]) => {
      const sign = element("span", { className });
      sign.append(element("b", { textContent }));
      const [x, y] = plot.at(i);
      sign.style.transform = `translate(${x}px, ${y}px)`;
      return sign;
    }));
    if (current !== null) place();
  }

  // The card beside the cell where there is room, else below or above it, inside the stage.
  function place() {
    const gap = 18;
    const [x, y] = plot.at(current);
    const [width, height] = [hover.offsetWidth, hover.offsetHeight];
    const beside = x + gap + width < stage.clientWidth ? x + gap : x - gap - width;
    const room = beside > 0;
    const below = y < stage.clientHeight / 2 ? y + gap : y - gap - height;
    const keep = (value, most) => Math.max(4, Math.min(value, most - 4));
    hover.style.left = `${keep(room ? beside : x - width / 2, stage.clientWidth - width)}px`;
    hover.style.top = `${keep(room ? y - height / 2 : below, stage.clientHeight - height)}px`;
  }

  function show(i) {
    if (i === current) return;
    current = i;
    hover.hidden = i === null;
    hover.replaceChildren(...(i === null ? [] : facts.card(i)));
    mark();
  }

  function pin(i) {
    const words = tray.toggle(i) ? "Pinned" : "No longer pinned";
    said.textContent = `${words}: ${data.names[i]}. ${tray.pins.length} pinned.`;
  }

  function nearest([x, y], reach) {
    let [best, least] = [null, reach * reach];
    for (const i of shown) {
      const [px, py] = plot.at(i);
      const distance = (px - x) ** 2 + (py - y) ** 2;
      if (distance <= least) [best, least] = [i, distance];
    }
    return best;
  }

  // The nearest cell in the quarter of the plane that an arrow key points to.
  function next([right, down]) {
    const [x, y] = plot.at(current);
    let [best, least] = [null, Infinity];
    for (const i of shown) {
      const [px, py] = plot.at(i);
      const along = (px - x) * right + (py - y) * down;
      const across = Math.abs((px - x) * down) + Math.abs((py - y) * right);
      // Cells at one place follow each other to the right and down, or nothing would lead to the second.
      const same = !along && !across;
      const later = (i - current) * (right + down);
      if (same ? later <= 0 : along <= 0 || across > along) continue;
      const distance = same ? later * 1e-9 : along * along + across * across;
      if (distance < least) [best, least] = [i, distance];
    }
    return best;
  }

  const where = (event) => {
    const box = stage.getBoundingClientRect();
    return [event.clientX - box.left - stage.clientLeft, event.clientY - box.top - stage.clientTop]; // without the border
  };
  stage.addEventListener("pointermove", (event) => {
    if (event.pointerType === "mouse" && !event.buttons) show(nearest(where(event), REACH.mouse));
  });
  stage.addEventListener("pointerleave", (event) => {
    if (event.pointerType === "mouse" && !event.buttons) show(null);
  });

  // The mouse, or two fingers, move the plot; two fingers zoom it, too; what does not move is a click. One finger that
  // goes up or down is the browser's, for the page: it cancels the pointer. One that goes aside moves the plot.
  const down = new Map(); // where each pointer is that touches the stage
  let still = true;
  let going = false; // the plot moves
  stage.addEventListener("pointerdown", (event) => {
    if (event.button) return;
    still = !down.size;
    going = !still;
    down.set(event.pointerId, where(event));
  });
  document.addEventListener("pointermove", (event) => {
    const before = down.get(event.pointerId);
    if (!before) return;
    const now = where(event);
    const [x, y] = [now[0] - before[0], now[1] - before[1]];
    still &&= Math.hypot(x, y) < 5; // hands tremble
    going ||= !still && (event.pointerType === "mouse" || Math.abs(x) > Math.abs(y));
    if (!going) return;
    const other = [...down].find(([id]) => id !== event.pointerId)?.[1];
    // What is between two fingers stays there.
    plot.pan(...(other ? [x / 2, y / 2] : [x, y]));
    if (other) plot.zoom(apart(now, other) / apart(before, other), [(now[0] + other[0]) / 2, (now[1] + other[1]) / 2]);
    down.set(event.pointerId, now);
  });
  // Chromium scrolls by one finger alone where that is what CSS allows; other browsers are asked to.
  stage.addEventListener("touchmove", (event) => {
    if (event.touches.length > 1 && event.cancelable) event.preventDefault();
  }, { passive: false });
  document.addEventListener("pointerup", (event) => {
    if (down.delete(event.pointerId) && still) click(nearest(where(event), REACH[event.pointerType] || REACH.mouse), event);
  });
  document.addEventListener("pointercancel", (event) => down.delete(event.pointerId));
  const apart = (a, b) => Math.max(1, Math.hypot(a[0] - b[0], a[1] - b[1]));

  // A mouse has shown the cell before; a finger shows it first, and pins it the second time.
  function click(i, event) {
    const again = i === current;
    show(i);
    if (i === null) return;
    if (again || event.pointerType === "mouse") pin(i);
    else said.textContent = facts.sentence(i);
  }

  stage.addEventListener("wheel", (event) => {
    if (!event.ctrlKey && !event.metaKey) return; // the wheel alone scrolls the page
    event.preventDefault();
    plot.zoom(Math.exp(-event.deltaY / 300), where(event));
  }, { passive: false });

  const ARROWS = { ArrowRight: [1, 0], ArrowLeft: [-1, 0], ArrowDown: [0, 1], ArrowUp: [0, -1] };
  stage.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key in ARROWS) step(ARROWS[event.key]);
    else if (event.key === "Enter" && current !== null) pin(current);
    else if (event.key === "Escape") leave();
    else if (event.key === "+") plot.zoom(1.4);
    else if (event.key === "-") plot.zoom(1 / 1.4);
    else return;
    event.preventDefault();
  });

  function leave() {
    show(null);
    said.textContent = "No cell chosen.";
  }

  function step(direction) {
    const middle = [stage.clientWidth / 2, stage.clientHeight / 2];
    const found = current === null ? nearest(middle, Infinity) : next(direction);
    said.textContent = found === null ? "No cell in this direction." : facts.sentence(found);
    if (found === null) return;
    show(found);
    const [x, y] = plot.at(found);
    if (x < 0 || y < 0 || x > stage.clientWidth || y > stage.clientHeight) plot.centre(found);
  }

  root.querySelector(".zoom").addEventListener("click", ({ target }) => {
    if (target.value === "fit") plot.fit();
    else if (target.value) plot.zoom(target.value === "in" ? 1.4 : 1 / 1.4);
  });
  form.addEventListener("reset", () => { show(null); plot.fit(); });

  // Identifiers have to differ between the explorers of a page.
  const help = root.querySelector(".help");
  help.id = `smr-explorer-help-${[...document.querySelectorAll(".smr-explorer")].indexOf(root)}`;
  stage.setAttribute("aria-describedby", help.id);
  tray.show();
  update();
}

const root = document.currentScript.closest(".smr-explorer");
const start = () => {
  if (window.Plotly) explore(root);
  else root.querySelector(".chart").textContent = "The page lacks Plotly's script, which draws the cells.";
};
// Plotly's script may stand further down the page.
if (window.Plotly) start();
else document.addEventListener("DOMContentLoaded", start);
