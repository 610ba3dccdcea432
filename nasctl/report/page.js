// Make the picture and the tables of the report interactive. Without this script they are static.
"use strict";
(() => {
  const picture = document.getElementById("front");
  if (picture) explore(picture);
  for (const table of document.querySelectorAll("table.sortable")) sortable(table);

  function explore(svg) {
    const { series, x, y } = JSON.parse(document.getElementById("series").textContent);
    const [left, top, right, bottom] = svg.dataset.area.split(" ").map(Number);
    const circles = [...svg.querySelectorAll("circle")];
    const choices = { across: document.getElementById("across"), up: document.getElementById("up") };
    const tip = document.getElementById("tip");
    const rows = new Map([...document.querySelectorAll("tr[data-id]")].map((row) => [row.dataset.id, row]));
    const byId = new Map();
    const names = [...svg.querySelectorAll(".names text")].map((text) => [Number(text.dataset.row), text.textContent]);
    let reachable = []; // circles that the keyboard reaches, from left to right

    svg.setAttribute("role", "group"); // the parts of an "img" are hidden from screen readers
    for (const circle of circles) {
      const title = circle.querySelector("title");
      circle.said = title.textContent;
      title.remove(); // otherwise the browser shows a second tooltip
      byId.set(circle.dataset.id, circle);
      if (!rows.has(circle.dataset.id)) continue;
      circle.setAttribute("tabindex", "-1");
      circle.setAttribute("role", "img");
      circle.setAttribute("aria-label", circle.said);
      reachable.push(circle);
    }
    for (const [direction, at] of [["across", x], ["up", y]]) {
      choices[direction].replaceChildren(...series.map((one) => new Option(one.name)));
      choices[direction].selectedIndex = at;
      choices[direction].addEventListener("change", draw);
    }
    for (const [kind, words] of [["other", "evaluated"], ["broken", "outside of constraints"]]) {
      if (!circles.some((circle) => circle.classList.contains(kind))) continue;
      const [label, box] = [document.createElement("label"), document.createElement("input")];
      box.type = "checkbox";
      box.checked = true;
      box.addEventListener("change", () => {
        svg.classList.toggle("hide-" + kind, !box.checked);
        draw();
      });
      label.append(box, " " + words + " ");
      document.getElementById("kinds").append(label);
    }
    document.getElementById("axes").hidden = false;
    name(circles.map(placeOf));
    reach();
    matchMedia("(max-width: 700px)").addEventListener("change", draw);

    function placeOf(circle) {
      const there = circle.getAttribute("visibility") !== "hidden" && getComputedStyle(circle).display !== "none";
      return there ? [Number(circle.getAttribute("cx")), Number(circle.getAttribute("cy"))] : null;
    }

    function draw() {
      const [a, b] = [series[choices.across.selectedIndex], series[choices.up.selectedIndex]];
      const known = circles.map((circle, k) => a.values[k] !== null && b.values[k] !== null);
      const seen = circles.map((circle, k) => known[k] && getComputedStyle(circle).display !== "none");
      const [across, up] = [a, b].map((one) => axis(one, one.values.filter((value, k) => seen[k])));
      const places = circles.map((circle, k) => {
        circle.setAttribute("visibility", known[k] ? "visible" : "hidden");
        const at = [left + across.share(a.values[k] ?? 0) * (right - left), bottom - up.share(b.values[k] ?? 0) * (bottom - top)];
        if (known[k]) circle.setAttribute("cx", at[0].toFixed(1));
        if (known[k]) circle.setAttribute("cy", at[1].toFixed(1));
        return seen[k] ? at : null;
      });
      svg.querySelector(".title.across").textContent = a.title;
      svg.querySelector(".title.up").textContent = b.title;
      const sides = { x1: left, x2: right, y1: top, y2: bottom };
      ticks("across", across.ticks, (share) => {
        const at = left + share * (right - left);
        return [{ ...sides, x1: at, x2: at }, { x: at, y: bottom + 22, "text-anchor": "middle" }];
      });
      ticks("up", up.ticks, (share) => {
        const at = bottom - share * (bottom - top);
        return [{ ...sides, y1: at, y2: at }, { x: left - 8, y: at, dy: 4, "text-anchor": "end" }];
      });
      stairs(places, a.better, b.better);
      name(places);
      reach();
      tip.hidden = true;
    }

    // Scale and ticks of an axis that spans the visible values.
    function axis(one, values) {
      const [low, high] = [Math.min(...values), Math.max(...values)];
      const sizes = values.map(Math.abs);
      const [least, most] = [Math.min(...sizes), Math.max(...sizes)];
      const log = one.log !== 0 && Math.sign(low) === one.log && Math.sign(high) === one.log && most >= 10 * least;
      const turn = (value) => (log ? one.log * Math.log10(one.log * value) : value);
      const [from, to] = [turn(low), turn(high)];
      const margin = 0.04 * (to - from) || 0.5 * Math.abs(from) || 1;
      const share = (value) => (turn(value) - from + margin) / (to - from + 2 * margin);
      const marks = log ? decades(one.log, least, most) : steps(low, high);
      const text = writer(values);
      return { share, ticks: marks.map((mark) => [share(mark), text(mark)]).filter(([at]) => at >= 0 && at <= 1) };
    }

    function decades(sign, least, most) {
      const marks = [];
      for (let power = Math.floor(Math.log10(least)) - 1; power <= Math.ceil(Math.log10(most)); power++)
        for (const lead of most < 30 * least ? [1, 2, 5] : [1]) marks.push(sign * lead * 10 ** power);
      return marks;
    }

    function steps(low, high) {
      const reach = high - low || Math.abs(low) || 1;
      const unit = 10 ** Math.floor(Math.log10(reach / 6));
      const step = unit * [1, 2, 2.5, 5, 10].find((one) => one * unit * 6 >= reach * 0.9999);
      const first = Math.ceil((low - 0.05 * reach) / step);
      return Array.from({ length: 9 }, (_, k) => Number(((first + k) * step).toPrecision(12)));
    }

    function writer(values) {
      const large = values.some((value) => Math.abs(value) >= 1e4);
      return (value) => {
        const [size, letter] = (large && [[1e12, " T"], [1e9, " G"], [1e6, " M"], [1e3, " k"]]
          .find(([size]) => Math.abs(value) >= size)) || [1, ""];
        return String(Number((value / size).toPrecision(6))).replace("-", "\u2212") + letter;
      };
    }

    // The front in the two quantities, as a line around the area that it dominates.
    function stairs(places, across, up) {
      const line = svg.querySelector(".stairs");
      line.setAttribute("points", "");
      if (!across || !up) return;
      const kept = places.filter((at, k) => at && !circles[k].classList.contains("broken"));
      kept.sort((one, other) => across * (other[0] - one[0]) || up * (one[1] - other[1]));
      const edge = { x: across > 0 ? left : right, y: up > 0 ? bottom : top };
      const corners = [];
      let best = null;
      for (const [cx, cy] of kept) {
        if (best !== null && up * (best - cy) <= 0) continue;
        corners.push([cx, best ?? edge.y], [cx, cy]);
        best = cy;
      }
      if (best !== null) corners.push([edge.x, best]);
      line.setAttribute("points", corners.map((at) => at.map((value) => value.toFixed(1)).join(",")).join(" "));
    }

    // Write names beside marked networks, where they lie on no other name and on few candidates.
    function name(places) {
      const group = svg.querySelector(".names");
      group.replaceChildren();
      const taken = names.filter(([row]) => places[row]).map(([row]) => box(places[row], 8, 8));
      for (const [row, words] of names) {
        const at = places[row];
        if (!at) continue;
        const text = made("text", { "text-anchor": "middle", dy: ".35em", "data-row": row });
        text.textContent = words;
        group.append(text);
        const { width, height } = text.getBBox();
        let best = null;
        for (const radius of [12, 20, 32, 48, 68, 92, 120]) {
          for (let turn = 0; turn < 16; turn++) {
            const angle = ((2 + (turn % 2 ? turn + 1 : -turn)) * Math.PI) / 16 + Math.PI / 2;
            const [cos, sin] = [Math.cos(angle), Math.sin(angle)];
            const middle = [at[0] + cos * (radius + width / 2), at[1] - sin * (radius + height / 2)];
            const own = box(middle, width / 2 + 2, height / 2);
            if (own[0] < left || own[2] > right || own[1] < top || own[3] > bottom) continue;
            if (taken.some((other) => own[0] < other[2] && other[0] < own[2] && own[1] < other[3] && other[1] < own[3])) continue;
            const covered = places.filter((p) => p && p[0] > own[0] && p[0] < own[2] && p[1] > own[1] && p[1] < own[3]).length;
            const cost = radius + 3 * covered;
            if (best === null || cost < best.cost) best = { cost, middle, own };
          }
        }
        if (best === null) {
          text.remove();
          continue;
        }
        taken.push(best.own);
        text.setAttribute("x", best.middle[0].toFixed(1));
        text.setAttribute("y", best.middle[1].toFixed(1));
        group.insertBefore(made("line", { x1: at[0], y1: at[1], x2: best.middle[0], y2: best.middle[1] }), group.firstChild);
      }
    }

    function box([across, up], halfWidth, halfHeight) {
      return [across - halfWidth, up - halfHeight, across + halfWidth, up + halfHeight];
    }

    // One stop of the tab key, from which the arrow keys lead along the candidates of the tables.
    function reach() {
      const where = (circle) => Number(circle.getAttribute("cx"));
      reachable.sort((one, other) => where(one) - where(other));
      reachable.forEach((circle, k) => circle.setAttribute("tabindex", k === 0 ? "0" : "-1"));
    }

    function ticks(name, marks, placed) {
      svg.querySelector(".ticks." + name).replaceChildren(...marks.flatMap(([share, words]) => {
        const [line, text] = placed(share);
        const written = made("text", text);
        written.textContent = words;
        return [made("line", line), written];
      }));
    }

    function made(kind, attributes) {
      const element = document.createElementNS(svg.namespaceURI, kind);
      for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
      return element;
    }

    function light(id, on) {
      byId.get(id)?.classList.toggle("lit", on);
      rows.get(id)?.classList.toggle("lit", on);
    }

    function show(event) {
      const circle = event.target.closest("circle");
      if (!circle) return;
      light(circle.dataset.id, true);
      tip.textContent = circle.said;
      tip.hidden = false;
      const [frame, spot] = [svg.getBoundingClientRect(), circle.getBoundingClientRect()];
      const beside = spot.right - frame.left + 8;
      const fits = beside + tip.offsetWidth < frame.width;
      tip.style.left = (fits ? beside : Math.max(0, spot.left - frame.left - tip.offsetWidth - 8)) + "px";
      tip.style.top = Math.max(0, Math.min(spot.top - frame.top, frame.height - tip.offsetHeight)) + "px";
    }

    function hide(event) {
      const circle = event.target.closest("circle");
      if (circle) light(circle.dataset.id, false);
      tip.hidden = true;
    }

    function open(id) {
      rows.get(id)?.scrollIntoView({ block: "center", behavior: "smooth" });
    }

    for (const [start, end] of [["pointerover", "pointerout"], ["focusin", "focusout"]]) {
      svg.addEventListener(start, show);
      svg.addEventListener(end, hide);
    }
    svg.addEventListener("click", (event) => open(event.target.closest("circle")?.dataset.id));
    svg.addEventListener("keydown", (event) => {
      const at = reachable.indexOf(event.target);
      const step = { ArrowRight: 1, ArrowUp: 1, ArrowLeft: -1, ArrowDown: -1 }[event.key];
      if (at < 0 || (!step && event.key !== "Enter")) return;
      event.preventDefault();
      if (step) reachable[(at + step + reachable.length) % reachable.length].focus();
      else open(event.target.dataset.id);
    });
    for (const [id, row] of rows) {
      row.addEventListener("pointerenter", () => light(id, true));
      row.addEventListener("pointerleave", () => light(id, false));
    }
  }

  function sortable(table) {
    const heads = [...table.tHead.rows[0].cells];
    heads.forEach((head, column) => {
      head.tabIndex = 0;
      const sort = () => {
        const down = head.getAttribute("aria-sort") === "ascending";
        for (const other of heads) other.removeAttribute("aria-sort");
        head.setAttribute("aria-sort", down ? "descending" : "ascending");
        const key = (row) => row.cells[column].dataset.value ?? row.cells[column].textContent;
        const turn = down ? -1 : 1;
        const number = (text) => (text === "" ? NaN : Number(text));
        const order = (one, other) => {
          const [a, b] = [key(one), key(other)];
          const [m, n] = [number(a), number(b)];
          if (Number.isNaN(m) && Number.isNaN(n)) return turn * a.localeCompare(b);
          if (Number.isNaN(m) || Number.isNaN(n)) return Number.isNaN(m) ? 1 : -1; // what failed comes last
          return turn * (m - n);
        };
        const body = table.tBodies[0];
        body.replaceChildren(...[...body.rows].sort(order));
      };
      head.addEventListener("click", sort);
      head.addEventListener("keydown", (event) => {
        if (event.key !== "Enter" && event.key !== " ") return;
        event.preventDefault();
        sort();
      });
    });
  }
})();
