"use strict";
(() => {
  const all = (selector, root = document) => [...root.querySelectorAll(selector)];
  const root = document.documentElement;
  const tip = document.getElementById("tip");
  const redraws = [];

  function make(tag, className, text) {
    const node = document.createElement(tag);
    if (className) node.className = className;
    if (text !== undefined) node.textContent = text;
    return node;
  }

  // Colors of the theme in use, as a canvas needs them.
  const probe = make("span");
  probe.hidden = true;
  document.body.append(probe);
  function color(name) {
    probe.style.color = `var(--${name})`;
    return getComputedStyle(probe).color;
  }

  function faded(name, alpha) {
    const parts = color(name).match(/[\d.]+/g);
    return `rgba(${parts.slice(0, 3).join(",")},${alpha})`;
  }

  // Light and dark.
  const dark = matchMedia("(prefers-color-scheme: dark)");
  try {
    const stored = localStorage.getItem("slowfast-theme");
    if (stored) root.dataset.theme = stored;
  } catch { /* a browser may refuse to store anything */ }
  function redraw() { redraws.forEach((draw) => draw()); }
  document.getElementById("theme").addEventListener("click", () => {
    const now = root.dataset.theme || (dark.matches ? "dark" : "light");
    root.dataset.theme = now === "dark" ? "light" : "dark";
    try { localStorage.setItem("slowfast-theme", root.dataset.theme); } catch { /* as above */ }
    redraw();
  });
  dark.addEventListener("change", redraw);

  // Navigation.
  const nav = document.getElementById("sections");
  const sections = all("main section[id]");
  for (const section of sections) {
    const link = make("a", "", section.querySelector("h2").textContent);
    link.href = `#${section.id}`;
    nav.append(link);
  }
  nav.hidden = sections.length < 2;

  // Tables and galleries: filter, sort, show more.
  function list(box) {
    const holder = box.querySelector("tbody, .gallery");
    if (!holder) return;
    const step = Number(box.dataset.page) || Infinity;
    const input = box.querySelector("input[type=search]");
    const count = box.querySelector(".count");
    const more = box.querySelector(".more");
    let items = [...holder.children];
    const text = new Map();
    let limit = step;

    function words(item) {
      if (!text.has(item)) {
        const fields = [...item.children].map((field) => field.textContent);
        text.set(item, [...fields, item.dataset.text || ""].join(" ").toLowerCase());
      }
      return text.get(item);
    }

    function show() {
      const asked = (input ? input.value : "").toLowerCase().split(/\s+/).filter(Boolean);
      const found = items.filter((item) => asked.every((word) => words(item).includes(word)));
      const shown = new Set(found.slice(0, limit));
      for (const item of items) item.hidden = !shown.has(item);
      const total = items.length.toLocaleString("en-US");
      if (count) count.textContent = asked.length ? `${found.length.toLocaleString("en-US")} of ${total}` : total;
      if (more) {
        more.hidden = found.length <= limit;
        more.textContent = `Show more (${(found.length - shown.size).toLocaleString("en-US")} left)`;
      }
    }

    function sortBy(column, header) {
      const descending = header.getAttribute("aria-sort") === "ascending";
      for (const other of all("th", box)) other.removeAttribute("aria-sort");
      header.setAttribute("aria-sort", descending ? "descending" : "ascending");
      const numeric = header.classList.contains("num");
      const keys = new Map(items.map((item) => {
        const field = item.children[column];
        const value = field.dataset.sort ?? field.textContent.trim();
        return [item, numeric ? (value === "" ? null : Number(value)) : value];
      }));
      const sign = descending ? -1 : 1;
      const texts = new Intl.Collator("en", { numeric: true });
      items.sort((a, b) => {
        const [x, y] = [keys.get(a), keys.get(b)];
        if (x === null || y === null) return (x === null) - (y === null); // the unknown last
        return sign * (numeric ? x - y : texts.compare(x, y));
      });
      holder.append(...items);
      show();
    }

    all("thead th", box).forEach((header, column) => {
      header.querySelector("button").addEventListener("click", () => sortBy(column, header));
    });
    if (input) input.addEventListener("input", () => { limit = step; show(); });
    if (more) more.addEventListener("click", () => { limit += step; show(); });
    show();
  }
  all(".list").forEach(list);

  // Sprites: the image is decoded once, and all thumbnails show parts of it.
  const sprites = {};
  for (const node of all("script[data-sprite]")) {
    const sprite = JSON.parse(node.textContent);
    const [, type, encoded] = sprite.src.match(/^data:([^;]+);base64,(.*)$/);
    const bytes = Uint8Array.from(atob(encoded), (letter) => letter.charCodeAt(0));
    sprite.url = URL.createObjectURL(new Blob([bytes], { type }));
    delete sprite.src;
    node.textContent = "";
    sprites[node.dataset.sprite] = sprite;
  }
  function place(thumb, name, index) {
    const s = sprites[name];
    if (!s) return;
    const [x, y] = [index % s.columns, Math.floor(index / s.columns)];
    thumb.style.width = `${s.width}px`;
    thumb.style.height = `${s.height}px`;
    thumb.style.backgroundImage = `url(${s.url})`;
    thumb.style.backgroundPosition = `${-x * s.width}px ${-y * s.height}px`;
  }
  for (const thumb of all(".thumb")) place(thumb, thumb.dataset.of, Number(thumb.dataset.index));

  // The note at the pointer.
  function showTip(event, text, sprite, index) {
    tip.textContent = "";
    if (sprite && sprites[sprite]) {
      const thumb = make("span", "thumb");
      place(thumb, sprite, index);
      tip.append(thumb);
    }
    tip.append(text);
    tip.hidden = false;
    const box = tip.getBoundingClientRect();
    const left = event.clientX + 14 + box.width > innerWidth ? event.clientX - 14 - box.width : event.clientX + 14;
    const top = event.clientY + 14 + box.height > innerHeight ? event.clientY - 14 - box.height : event.clientY + 14;
    tip.style.left = `${Math.max(4, left)}px`;
    tip.style.top = `${Math.max(4, top)}px`;
  }
  function hideTip() { tip.hidden = true; }
  addEventListener("scroll", hideTip, { passive: true });

  function short(value) {
    if (value === null || value === undefined) return "–";
    const size = Math.abs(value);
    if (size !== 0 && (size < 1e-3 || size >= 1e6)) return value.toExponential(2).replace(/\.?0+e/, "e");
    return Number(value.toPrecision(4)).toString();
  }

  function canvas(holder, width, height) {
    const node = holder.querySelector("canvas") || holder.appendChild(make("canvas"));
    const ratio = devicePixelRatio || 1;
    node.width = Math.round(width * ratio);
    node.height = Math.round(height * ratio);
    node.style.width = `${width}px`;
    node.style.height = `${height}px`;
    const context = node.getContext("2d");
    context.scale(ratio, ratio);
    context.clearRect(0, 0, width, height);
    context.font = "12px system-ui, sans-serif";
    return context;
  }

  // Curves, by uPlot.
  function lines(holder, data) {
    let plot = null;
    const known = data.series.filter((entry) => entry.x.length);
    if (!known.length) return;
    const table = uPlot.join(known.map((entry) => [entry.x, entry.y]));
    const log = data.log && known.every((entry) => entry.y.every((y) => y === null || y > 0));
    const axis = (label) => ({
      stroke: color("muted"), grid: { stroke: color("line"), width: 1 }, ticks: { stroke: color("line"), width: 1 },
      label: label || undefined, labelSize: label ? 22 : 0, labelFont: "12px system-ui", font: "12px system-ui",
    });
    function draw() {
      if (plot) plot.destroy();
      const series = known.map((entry, index) => {
        const stroke = color(`c${(entry.color ?? index) % 8}`);
        return {
          label: entry.label, stroke, width: entry.wide ? 2.5 : 1.6, spanGaps: true,
          dash: entry.dash ? [6, 4] : undefined, value: (_, value) => (value === null || value === undefined ? "" : short(value)),
          points: { show: data.marks || entry.x.length < 3, size: 6, fill: stroke },
        };
      });
      const sizes = (u, values) => 16 + 7 * Math.max(3, ...(values || []).map((value) => String(value).length));
      plot = new uPlot({
        width: Math.max(200, holder.clientWidth), height: 240, padding: [10, 14, 0, 0],
        scales: { x: { time: false }, y: log ? { distr: 3 } : {} },
        axes: [
          { ...axis(data.x_label), values: (_, values) => values.map((v) => (v === null ? "" : short(v))) },
          { ...axis(data.y_label), size: sizes, values: (_, values) => values.map((v) => (v === null ? "" : short(v))) },
        ],
        series: [{ label: data.x_label, value: (_, value) => (value === null ? "" : short(value)) }, ...series],
        cursor: { y: false },
        legend: { markers: { fill: (u, index) => u.series[index].stroke() } },
      }, table, holder);
    }
    draw();
    redraws.push(draw);
    new ResizeObserver(() => {
      const width = Math.max(200, holder.clientWidth);
      if (plot.width !== width) plot.setSize({ width, height: 240 });
    }).observe(holder);
  }

  // Points with thumbnails.
  function scatter(holder, data) {
    const off = new Set();
    const height = 420;
    const xs = data.points.map((point) => point[0]);
    const ys = data.points.map((point) => point[1]);
    const ends = (values) => values.reduce(([low, high], v) => [Math.min(low, v), Math.max(high, v)], [Infinity, -Infinity]);
    const [x0, x1] = ends(xs);
    const [y0, y1] = ends(ys);
    const group = (index) => (data.groups ? data.groups[index] : 0);
    const shown = (index) => !off.has(group(index));
    const isRing = (number) => Math.floor(number / 8) % 2 === 1; // the colors are used twice
    const radius = data.points.length > 2000 ? 2.5 : 4;
    let marked = -1;
    const at = (index) => {
      const width = holder.clientWidth;
      return [12 + (width - 24) * ((xs[index] - x0) / (x1 - x0 || 1)), height - 12 - (height - 24) * ((ys[index] - y0) / (y1 - y0 || 1))];
    };
    function draw() {
      const context = canvas(holder, holder.clientWidth, height);
      context.lineWidth = 2;
      for (let index = 0; index < xs.length; index += 1) {
        if (!shown(index)) continue;
        context.fillStyle = context.strokeStyle = colors[group(index) % 8];
        context.globalAlpha = index === marked ? 1 : 0.75;
        context.beginPath();
        context.arc(...at(index), index === marked ? radius + 3 : radius, 0, 7);
        if (isRing(group(index))) context.stroke();
        else context.fill();
      }
    }
    let colors = [];
    function recolor() {
      colors = [...Array(8).keys()].map((number) => color(`c${number}`));
      draw();
    }
    recolor();
    if (data.group_names) {
      const legend = make("div", "legend");
      data.group_names.forEach((name, number) => {
        const button = make("button");
        const mark = make("i");
        if (isRing(number)) mark.style.border = `2px solid var(--c${number % 8})`;
        else mark.style.background = `var(--c${number % 8})`;
        button.type = "button";
        button.setAttribute("aria-pressed", "true");
        button.append(mark, name);
        button.addEventListener("click", () => {
          if (!off.delete(number)) off.add(number);
          button.setAttribute("aria-pressed", String(!off.has(number)));
          draw();
        });
        legend.append(button);
      });
      holder.after(legend);
    }
    const node = holder.querySelector("canvas");
    node.addEventListener("pointermove", (event) => {
      const box = node.getBoundingClientRect();
      const [x, y] = [event.clientX - box.left, event.clientY - box.top];
      let [best, nearest] = [-1, 400];
      for (let index = 0; index < xs.length; index += 1) {
        if (!shown(index)) continue;
        const [px, py] = at(index);
        const distance = (px - x) ** 2 + (py - y) ** 2;
        if (distance < nearest) [best, nearest] = [index, distance];
      }
      if (best !== marked) { marked = best; draw(); }
      if (best < 0) hideTip();
      else showTip(event, data.labels[best], data.sprite, best);
    });
    node.addEventListener("pointerleave", () => { marked = -1; draw(); hideTip(); });
    redraws.push(recolor);
    new ResizeObserver(draw).observe(holder);
  }

  // Heat map of counts; color is the part of a row.
  function heat(holder, data) {
    const count = data.names.length;
    const counts = new Map(data.entries.map(([row, column, value]) => [row * count + column, value]));
    let [left, top, size] = [0, 0, 0];
    function clip(context, text, width) {
      if (context.measureText(text).width <= width) return text;
      let kept = text;
      while (kept && context.measureText(`${kept}…`).width > width) kept = kept.slice(0, -1);
      return `${kept}…`;
    }
    function draw() {
      const width = holder.clientWidth;
      const measured = canvas(holder, 10, 10);
      const named = count <= 60;
      const longest = named ? Math.max(...data.names.map((name) => measured.measureText(name).width)) : 0;
      left = named ? Math.min(longest + 10, width * 0.3, 150) : 0;
      top = named ? Math.min(longest + 10, 90) : 0;
      size = Math.min(44, Math.max(named ? 14 : 2, Math.floor((width - left - 2) / count)));
      const context = canvas(holder, left + size * count + 2, top + size * count + 2);
      context.strokeStyle = color("line");
      context.strokeRect(left + 0.5, top + 0.5, size * count, size * count);
      context.textBaseline = "middle";
      const [fg, bg, muted] = [color("fg"), color("bg"), color("muted")];
      for (const [row, column, value] of data.entries) {
        const part = value / (data.totals[row] || 1);
        context.fillStyle = faded(row === column ? "c0" : "c1", 0.12 + 0.88 * part);
        context.fillRect(left + column * size + 0.5, top + row * size + 0.5, size - (size > 6 ? 1 : 0), size - (size > 6 ? 1 : 0));
        if (size >= 26) {
          context.fillStyle = part > 0.5 ? bg : fg;
          context.textAlign = "center";
          context.fillText(String(value), left + (column + 0.5) * size, top + (row + 0.5) * size);
        }
      }
      if (!named) return;
      context.fillStyle = muted;
      data.names.forEach((name, number) => {
        context.textAlign = "right";
        context.fillText(clip(context, name, left - 10), left - 6, top + (number + 0.5) * size);
        context.save();
        context.translate(left + (number + 0.5) * size, top - 6);
        context.rotate(-Math.PI / 2);
        context.textAlign = "left";
        context.fillText(clip(context, name, top - 10), 0, 0);
        context.restore();
      });
    }
    draw();
    const node = holder.querySelector("canvas");
    node.addEventListener("pointermove", (event) => {
      const box = node.getBoundingClientRect();
      const row = Math.floor((event.clientY - box.top - top) / size);
      const column = Math.floor((event.clientX - box.left - left) / size);
      if (row < 0 || column < 0 || row >= count || column >= count) { hideTip(); return; }
      const value = counts.get(row * count + column) || 0;
      const part = data.totals[row] ? ` (${(100 * value / data.totals[row]).toFixed(1)} %)` : "";
      showTip(event, `${data.row_label} ${data.names[row]}, ${data.column_label} ${data.names[column]}: ${value} of ${data.totals[row]}${part}`);
    });
    node.addEventListener("pointerleave", hideTip);
    redraws.push(draw);
    let width = holder.clientWidth;
    new ResizeObserver(() => {
      if (holder.clientWidth !== width) { width = holder.clientWidth; draw(); }
    }).observe(holder);
  }

  const plots = { lines, scatter, heat };
  for (const holder of all("[data-plot]")) {
    plots[holder.dataset.plot](holder, JSON.parse(holder.querySelector("script").textContent));
  }
})();
