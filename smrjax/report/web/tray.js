// What is told of a cell (its image and its facts), and the tray in which pinned cells stay side by side.
function cellFacts(root, data, { outcomes, titleOf, colourOf }) {
  const image = root.querySelector("img.sheet");
  // Decoded once and kept: a part of a large image that is drawn anew would often be decoded anew.
  const sheet = image && image.decode().then(() => createImageBitmap(image)).catch(() => null);

  function picture(i) {
    const { pitch, columns } = data.sheet;
    // Without the outermost pixels, into which a lossy image mixes the neighbours' colours.
    const side = data.sheet.side - 2;
    const canvas = element("canvas", { width: side, height: side });
    const [left, top] = [(i % columns) * pitch + 1, Math.floor(i / columns) * pitch + 1];
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
      element("p", { textContent: time(i) }), element("p", { textContent: `fold ${data.folds[i]}` }));
    top.append(...(image ? [picture(i)] : []), words);
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
    return `${data.names[i]}: ${outcomes[i]}, ${classes.join(", ")}, ${time(i)}, fold ${data.folds[i]}.`;
  };
  return { card, sentence };
}

function cellTray(tray, { card, name, look, changed }) {
  const pins = [];
  const list = tray.querySelector("ol");
  const removeAll = tray.querySelector("button");

  function show() {
    // Of an item that is taken away, no pointer leaves.
    look(null);
    tray.querySelector(".hint").textContent = pins.length || "none yet: click a cell, or press Enter on it";
    removeAll.hidden = !pins.length;
    list.replaceChildren(...pins.map((i, place) => {
      const item = element("li");
      const remove = element("button", { type: "button", textContent: "×", ariaLabel: `Remove ${name(i)}` });
      remove.addEventListener("click", () => {
        toggle(i);
        list.querySelectorAll("button")[Math.min(place, pins.length - 1)]?.focus();
      });
      // Where in the plot it is.
      for (const event of ["pointerenter", "focusin"]) item.addEventListener(event, () => look(i));
      for (const event of ["pointerleave", "focusout"]) item.addEventListener(event, () => look(null));
      item.append(element("b", { className: "number", textContent: place + 1 }), ...card(i));
      item.querySelector(".top div").append(remove);
      return item;
    }));
    changed();
  }

  // Whether the cell is pinned now.
  function toggle(i) {
    const place = pins.indexOf(i);
    if (place < 0) pins.push(i);
    else pins.splice(place, 1);
    show();
    return place < 0;
  }

  removeAll.addEventListener("click", () => {
    pins.length = 0;
    show();
  });
  return { pins, toggle, show };
}
