// Makes pages move: an order's table as the stream brings it, a job's state by asking again.
// Without it every page works by loading it again. What comes is the server's own HTML, already
// inert, and is taken through DOMParser, in which no script runs.
"use strict";

function put(id, html) {
  const fresh = new DOMParser().parseFromString(html, "text/html").getElementById(id);
  const old = document.getElementById(id);
  if (!fresh || !old) return null;
  const ticked = new Set([...old.querySelectorAll("input:checked")].map((box) => box.value));
  const box = old.contains(document.activeElement) ? document.activeElement.value : null;
  const inside = old.contains(document.activeElement) ? document.activeElement.getAttribute("href") : null;
  const node = document.adoptNode(fresh);
  old.replaceWith(node);
  for (const input of node.querySelectorAll("input[type=checkbox]")) {
    if (ticked.has(input.value)) input.checked = true;
    if (box !== null && input.value === box) input.focus();
  }
  if (inside) {
    for (const link of node.querySelectorAll("a")) {
      if (link.getAttribute("href") === inside) { link.focus(); break; }
    }
  }
  return node;
}

function say(text) {
  const said = document.getElementById("said");
  if (said && said.textContent !== text) said.textContent = text;
}

function trouble(text) {
  const place = document.getElementById("trouble");
  if (!place) return;
  place.textContent = text;
  place.hidden = text === "";
}

/** Brings what stands around the table up to date: signatures, and what has arrived. */
async function around() {
  try {
    const answer = await fetch(location.href, { credentials: "same-origin" });
    const html = await answer.text();
    put("acts", html);
    put("approval", html);
    put("arrived", html);
  } catch {
    // The next change asks again.
  }
}

function follow(place) {
  const source = new EventSource(place.dataset.events);
  const marks = (table) => [...table.querySelectorAll("tbody .mark")].map((mark) => mark.textContent).join();
  // What the page was loaded with: the first news may be the last.
  let states = marks(place);
  const news = (event) => {
    trouble("");
    const table = put("live", event.data);
    const now = table ? marks(table) : "";
    if (states !== now) around();
    states = now;
    const tally = document.getElementById("tally");
    if (tally) say(tally.textContent);
  };
  source.addEventListener("news", news);
  source.addEventListener("settled", (event) => {
    news(event);
    source.close();
    place.dataset.settled = "";
  });
  source.addEventListener("trouble", (event) => trouble(event.data));
  source.addEventListener("error", () => trouble("The console does not answer. Trying again."));
  source.addEventListener("open", () => trouble(""));
}

async function poll(place) {
  while (place && place.dataset.poll) {
    await new Promise((done) => setTimeout(done, Number(place.dataset.poll)));
    try {
      const answer = await fetch(location.href, { credentials: "same-origin" });
      place = put(place.id, await answer.text()) ?? place;
    } catch {
      // Asked again.
    }
  }
}

for (const place of document.querySelectorAll("[data-events]:not([data-settled])")) follow(place);
for (const place of document.querySelectorAll("[data-poll]")) poll(place);
const errors = document.getElementById("errors");
if (errors) errors.focus();
