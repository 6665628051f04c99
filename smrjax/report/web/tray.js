// What is told of a cell (its image and its facts), and the tray in which pinned cells stay side by side.
function cellFacts(root, data, { outcomes, titleOf, colourOf }) {
  // The sheets wait in templates, whose images browsers leave alone.
  const sheets = [...root.querySelectorAll("template.sheet")].map((template) => template.content.firstChild);
  const pictured = data.scenes.filter((scene) => scene.sheet);
  const sceneOf = (i) => data.scenes.find(({ first, count }) => i < first + count);
  let sheet = null; // the images of the fold that is shown

  // Decoded once and kept: a part of a large image that is drawn anew would often be decoded anew. Kept of one fold
  // alone, as it may take 80 MB. From a blob, which browsers decode beside all else; the picture waits for an element.
  function open(scene) {
    sheet?.then((all) => all?.close());
    const source = sheets[pictured.indexOf(scene)];
    if (!source) return;
    const [, type, letters] = source.getAttribute("src").match(/^data:([^;]*);base64,(.*)$/);
    const bytes = atob(letters);
    const file = new Uint8Array(bytes.length);
    for (let k = 0; k < file.length; k++) file[k] = bytes.charCodeAt(k);
    sheet = createImageBitmap(new Blob([file], { type })).catch(() => null);
  }

  function picture(i) {
    const { first, sheet: { pitch, columns, side: whole } } = sceneOf(i);
    // Without the outermost pixels, into which a lossy image mixes the neighbours' colours.
    const side = whole - 2;
    const canvas = element("canvas", { width: side, height: side });
    const tile = i - first;
    const [left, top] = [(tile % columns) * pitch + 1, Math.floor(tile / columns) * pitch + 1];
    sheet.then((all) => all && canvas.getContext("2d").drawImage(all, left, top, side, side, 0, 0, side, side));
    return canvas;
  }

  const VERDICTS = { right: "● right", wrong: "✖ wrong", unknown: "■ class not known" };
  const time = (i) => `t ${data.t[i] === null ? "none" : number(data.t[i])}`;
  const named = (i) => [["True", data.labels[i]], ["Predicted", data.predicted[i]]];

  function card(i) {
    const top = element("div", { className: "top" });
    const words = element("div");
    words.append(element("p", { className: `verdict ${outcomes[i]}`, textContent: VERDICTS[outcomes[i]] }),
      element("p", { textContent: time(i) }), element("p", { textContent: `fold ${sceneOf(i).fold}` }));
    top.append(...(sceneOf(i).sheet ? [picture(i)] : []), words);
    const list = element("dl");
    for (const [word, c] of named(i)) {
      const told = element("dd");
      told.append(swatch(colourOf(c)), titleOf(c));
      list.append(element("dt", { textContent: word }), told);
    }
    return [top, element("p", { className: "name", textContent: data.names[i] }), list];
  }

  const sentence = (i) => {
    const classes = named(i).map(([word, c]) => `${word.toLowerCase()} ${titleOf(c)}`);
    return `${data.names[i]}: ${outcomes[i]}, ${classes.join(", ")}, ${time(i)}, fold ${sceneOf(i).fold}.`;
  };
  return { card, sentence, open };
}

function cellTray(tray, { card, name, look, changed }) {
  const pins = [];
  const items = new Map(); // of the pinned cells; kept, as the images of another fold are not at hand
  const list = tray.querySelector("ol");
  const removeAll = tray.querySelector("button");

  function show() {
    // Of an item that is taken away, no pointer leaves.
    look(null);
    tray.querySelector(".hint").textContent = pins.length || "none yet: click a cell, or press Enter on it";
    removeAll.hidden = !pins.length;
    list.replaceChildren(...pins.map((i, place) => {
      const item = items.get(i);
      item.querySelector(".number").textContent = place + 1;
      return item;
    }));
    changed();
  }

  function made(i) {
    const item = element("li");
    const remove = element("button", { type: "button", textContent: "×", ariaLabel: `Remove ${name(i)}` });
    remove.addEventListener("click", () => {
      const place = pins.indexOf(i);
      toggle(i);
      list.querySelectorAll("button")[Math.min(place, pins.length - 1)]?.focus();
    });
    // Where in the plot it is.
    for (const event of ["pointerenter", "focusin"]) item.addEventListener(event, () => look(i));
    for (const event of ["pointerleave", "focusout"]) item.addEventListener(event, () => look(null));
    item.append(element("b", { className: "number" }), ...card(i));
    item.querySelector(".top div").append(remove);
    return item;
  }

  // Whether the cell is pinned now.
  function toggle(i) {
    const place = pins.indexOf(i);
    if (place < 0) items.set(i, made(i));
    else items.delete(i);
    if (place < 0) pins.push(i);
    else pins.splice(place, 1);
    show();
    return place < 0;
  }

  removeAll.addEventListener("click", () => {
    pins.length = 0;
    items.clear();
    show();
  });

  // Which of the pinned cells are not in the picture.
  function dim(visible) {
    for (const [i, item] of items) item.classList.toggle("unseen", !visible.has(i));
  }

  return { pins, toggle, show, dim };
}
