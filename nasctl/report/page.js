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
    const across = (share) => left + share * (right - left);
    const up = (share) => bottom - share * (bottom - top);
    const rows = new Map([...document.querySelectorAll("tr[data-id]")].map((row) => [row.dataset.id, row]));
    const byId = new Map();

    for (const circle of circles) {
      const title = circle.querySelector("title");
      circle.said = title.textContent;
      title.remove(); // otherwise the browser shows a second tooltip
      byId.set(circle.dataset.id, circle);
      if (!rows.has(circle.dataset.id)) continue;
      circle.setAttribute("tabindex", "0");
      circle.setAttribute("aria-label", circle.said);
    }
    for (const [direction, at] of [["across", x], ["up", y]]) {
      choices[direction].replaceChildren(...series.map((one) => new Option(one.name)));
      choices[direction].selectedIndex = at;
      choices[direction].addEventListener("change", draw);
    }
    document.getElementById("axes").hidden = false;

    function draw() {
      const [a, b] = [series[choices.across.selectedIndex], series[choices.up.selectedIndex]];
      circles.forEach((circle, k) => {
        const there = a.at[k] !== null && b.at[k] !== null;
        circle.setAttribute("visibility", there ? "visible" : "hidden");
        circle.setAttribute("cx", across(a.at[k] ?? 0));
        circle.setAttribute("cy", up(b.at[k] ?? 0));
      });
      svg.querySelector(".title.across").textContent = a.title;
      svg.querySelector(".title.up").textContent = b.title;
      const sides = { x1: left, x2: right, y1: top, y2: bottom };
      ticks("across", a.ticks, (share) => {
        const at = across(share);
        return [{ ...sides, x1: at, x2: at }, { x: at, y: bottom + 16, "text-anchor": "middle" }];
      });
      ticks("up", b.ticks, (share) => {
        const at = up(share);
        return [{ ...sides, y1: at, y2: at }, { x: left - 8, y: at, dy: 4, "text-anchor": "end" }];
      });
      tip.hidden = true;
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
      const [box, spot] = [svg.getBoundingClientRect(), circle.getBoundingClientRect()];
      const beside = spot.right - box.left + 8;
      const fits = beside + tip.offsetWidth < box.width;
      tip.style.left = (fits ? beside : Math.max(0, spot.left - box.left - tip.offsetWidth - 8)) + "px";
      tip.style.top = Math.max(0, Math.min(spot.top - box.top, box.height - tip.offsetHeight)) + "px";
    }

    function hide(event) {
      const circle = event.target.closest("circle");
      if (circle) light(circle.dataset.id, false);
      tip.hidden = true;
    }

    for (const [start, end] of [["pointerover", "pointerout"], ["focusin", "focusout"]]) {
      svg.addEventListener(start, show);
      svg.addEventListener(end, hide);
    }
    svg.addEventListener("click", (event) => {
      const row = rows.get(event.target.closest("circle")?.dataset.id);
      if (row) row.scrollIntoView({ block: "center", behavior: "smooth" });
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
