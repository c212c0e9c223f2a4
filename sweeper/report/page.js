"use strict";
// The interactive figures: pointing at a trial tells it, a click keeps it, buttons of the legend hide and show arms; all of it
// from the keyboard, too. Text is set as text, never as HTML.
for (const figure of document.querySelectorAll("figure.interactive")) {
  const data = JSON.parse(figure.querySelector("script").textContent);
  const svg = figure.querySelector("svg[role]");
  const card = figure.querySelector(".card");
  const line = svg.querySelector("path.front");
  const buttons = [...figure.querySelectorAll("button[data-arm]")];
  const nodes = new Map([...svg.querySelectorAll(".p")].map((node) => [Number(node.dataset.i), node]));
  const empty = card.textContent;
  const hidden = new Set();
  let here = null;
  let pinned = null;

  const visible = () => data.points.map((_, i) => i).filter((i) => !hidden.has(data.points[i].arm));

  function add(tag, text, name) {
    const node = document.createElement(tag);
    node.textContent = text;
    if (name) node.className = name;
    card.appendChild(node);
    return node;
  }

  function show(i) {
    if (here !== null) nodes.get(here).classList.remove("here");
    here = i;
    card.textContent = "";
    if (i === null) {
      add("p", empty);
      return;
    }
    const point = data.points[i];
    nodes.get(i).classList.add("here");
    const name = add("p", "");
    name.appendChild(document.createElement("strong")).textContent = point.trial;
    const state = [point.kind === "front" ? "on the front" : point.kind === "stopped" ? "stopped early" : "completed"];
    if (i === pinned) state.push("kept: Escape lets go");
    const more = name.appendChild(document.createElement("span"));
    more.textContent = ` ${state.join("; ")}`;
    more.className = "pinned";
    add("p", point.facts.join("; "));
    add("p", "").appendChild(document.createElement("code")).textContent = point.configuration;
    const command = add("p", "").appendChild(document.createElement("code"));
    command.textContent = `sweeper retrain ${data.study} ${point.trial}`;
    command.className = "command";
  }

  // The front of what is shown: from left to right, each that is better than all before it.
  function drawFront() {
    const [xGoal, yGoal] = data.goals;
    const better = (a, b) => (yGoal === "max" ? a < b : a > b); // pixels grow downwards
    const points = visible().map((i) => data.points[i]).filter((point) => point.kind !== "stopped");
    points.sort((a, b) => (xGoal === "min" ? a.x - b.x : b.x - a.x) || (yGoal === "max" ? a.y - b.y : b.y - a.y));
    const front = [];
    for (const point of points) {
      if (!front.length || better(point.y, front[front.length - 1].y)) front.push(point);
    }
    line.setAttribute("d", front.map((point, k) => (k ? `H${point.x}V${point.y}` : `M${point.x} ${point.y}`)).join(""));
  }

  function filter() {
    for (const button of buttons) button.setAttribute("aria-pressed", String(!hidden.has(Number(button.dataset.arm))));
    nodes.forEach((node, i) => node.classList.toggle("hidden", hidden.has(data.points[i].arm)));
    if (pinned !== null && hidden.has(data.points[pinned].arm)) pinned = null;
    if (here !== null && hidden.has(data.points[here].arm)) show(pinned);
    drawFront();
  }

  function nearest(event) {
    const box = svg.getBoundingClientRect();
    const scale = svg.viewBox.baseVal.width / box.width;
    const [x, y] = [(event.clientX - box.left) * scale, (event.clientY - box.top) * scale];
    let best = null;
    let least = 18 * Math.max(scale, 1);
    for (const i of visible()) {
      const far = Math.hypot(data.points[i].x - x, data.points[i].y - y);
      if (far < least) [best, least] = [i, far];
    }
    return best;
  }

  svg.addEventListener("pointermove", (event) => {
    const i = pinned === null ? nearest(event) : null;
    if (i !== null && i !== here) show(i);
  });
  svg.addEventListener("click", (event) => {
    const i = nearest(event);
    pinned = i === pinned ? null : i;
    show(i);
  });
  svg.addEventListener("keydown", (event) => {
    const order = visible().sort((a, b) => data.points[a].x - data.points[b].x || data.points[b].y - data.points[a].y);
    if (!order.length) return;
    const place = order.indexOf(here);
    const next = {
      ArrowRight: Math.min(place + 1, order.length - 1),
      ArrowLeft: Math.max(place - 1, 0),
      Home: 0,
      End: order.length - 1,
    }[event.key];
    if (next !== undefined) {
      pinned = null;
      show(order[next]);
    } else if ((event.key === "Enter" || event.key === " ") && here !== null) {
      pinned = pinned === here ? null : here;
      show(here);
    } else if (event.key === "Escape") {
      pinned = null;
      show(null);
    } else {
      return;
    }
    event.preventDefault();
  });
  for (const button of buttons) {
    button.addEventListener("click", () => {
      const arm = Number(button.dataset.arm);
      if (!hidden.delete(arm)) hidden.add(arm);
      filter();
    });
  }
  figure.querySelector("button.all").addEventListener("click", () => {
    hidden.clear();
    filter();
  });
}
