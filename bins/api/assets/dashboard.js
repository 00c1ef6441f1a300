// Moves the figures of a page that was complete without it.

const main = document.querySelector("main[data-stream]");
const status = document.querySelector("[data-stream-status]");
const RETRY_MS = 5000;

let source = null;
let retry = null;

function say(text) {
  if (status) status.textContent = text;
}

function show(figures) {
  for (const element of document.querySelectorAll("[data-live]")) {
    const text = figures.texts[element.dataset.live];
    if (text !== undefined && element.textContent !== text) element.textContent = text;
  }
  for (const line of document.querySelectorAll("[data-live-points]")) {
    const points = figures.points[line.dataset.livePoints];
    if (points !== undefined) line.setAttribute("points", points);
  }
  for (const element of document.querySelectorAll("[data-live-state]")) {
    const state = figures.states[element.dataset.liveState];
    if (state !== undefined) element.dataset.state = state;
  }
}

function stop() {
  clearTimeout(retry);
  retry = null;
  source?.close();
  source = null;
}

function start() {
  if (source || document.hidden) return;
  source = new EventSource(main.dataset.stream);
  source.addEventListener("figures", (event) => {
    show(JSON.parse(event.data));
    say("live");
  });
  source.addEventListener("error", () => {
    say("not connected");
    // A refusal ends the source for good; whoever reloads then sees why.
    if (source?.readyState === EventSource.CLOSED) {
      stop();
      retry = setTimeout(start, RETRY_MS);
    }
  });
}

if (main) {
  document.addEventListener("visibilitychange", () => {
    if (document.hidden) {
      stop();
      say("paused");
    } else {
      start();
    }
  });
  addEventListener("pagehide", stop);
  addEventListener("pageshow", start);
  start();
}
