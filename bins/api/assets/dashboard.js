// Keeps a page as it is that was complete without it: figures by the stream, parts by loading the page anew. And asks before
// what can't be undone, where the page without it would be another.

const main = document.querySelector("main");
const status = document.querySelector("[data-stream-status]");
const pause = document.querySelector("[data-pause]");
const anew = document.querySelector("[data-refresh]");
const RENEW_MS = 3000;
const SHORTEST_MS = 2000;
const LONGEST_MS = 60000;

let source = null;
let timer = null;
let failures = 0;
let ended = false;
let held = false;
let parts = main?.dataset.parts;

function say(text) {
  if (status) status.textContent = text;
}

const isPaused = () => pause?.getAttribute("aria-pressed") === "true";
const rests = () => ended || isPaused() || document.hidden;

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

// Nothing is taken away from under a hand.
function isInUse(part) {
  const selection = getSelection();
  return part.contains(document.activeElement)
    || part.querySelector("details[open], input:checked, dialog[open]") !== null
    || (selection !== null && !selection.isCollapsed && part.contains(selection.anchorNode));
}

// Takes each part from the page as it is now. False where it could not be loaded.
async function renew() {
  let answer;
  try {
    answer = await fetch(anew.href, { redirect: "manual", cache: "no-store" });
  } catch {
    return false;
  }
  if (answer.type === "opaqueredirect") {
    end();
    return false;
  }
  if (!answer.ok) return false;
  const page = new DOMParser().parseFromString(await answer.text(), "text/html");
  if (rests()) return true;
  held = false;
  for (const part of document.querySelectorAll("[data-part]")) {
    const now = page.querySelector(`[data-part="${part.dataset.part}"]`);
    if (!now || now.innerHTML === part.innerHTML) continue;
    if (isInUse(part)) {
      held = true;
      continue;
    }
    part.replaceChildren(...document.importNode(now, true).childNodes);
  }
  if (!source) {
    const at = page.querySelector("[data-live=at]");
    const here = document.querySelector("[data-live=at]");
    if (at && here) here.textContent = at.textContent;
  }
  parts = page.querySelector("main")?.dataset.parts;
  ready(document);
  return true;
}

const live = () => say(held ? "live, except parts in use" : "live");

// A refused client waits longer each time, with jitter.
function later() {
  const wait = Math.min(LONGEST_MS, SHORTEST_MS * 2 ** failures) * (0.5 + Math.random() / 2);
  failures += 1;
  clearTimeout(timer);
  timer = setTimeout(start, wait);
}

function end() {
  ended = true;
  stop();
  const login = document.createElement("a");
  login.href = anew.href;
  login.textContent = "log in again";
  status.replaceChildren("the session has ended: ", login);
  pause.hidden = true;
}

function stop() {
  clearTimeout(timer);
  timer = null;
  source?.close();
  source = null;
}

function follow() {
  source = new EventSource(main.dataset.stream);
  source.addEventListener("figures", async (event) => {
    const figures = JSON.parse(event.data);
    failures = 0;
    show(figures);
    live();
    if (String(figures.parts) !== parts || held) await renew();
  });
  source.addEventListener("error", async () => {
    say("not connected");
    // By itself it would never come back after a refusal, and after a restart together with all others. The page says whether the
    // session has ended.
    stop();
    await renew();
    if (!rests()) later();
  });
}

async function poll() {
  if (await renew()) {
    failures = 0;
    if (rests()) return;
    live();
    clearTimeout(timer);
    timer = setTimeout(poll, RENEW_MS);
  } else if (!rests()) {
    say("not connected");
    later();
  }
}

function start() {
  if (source || rests()) return;
  clearTimeout(timer);
  if (main.dataset.stream) follow();
  else timer = setTimeout(poll, failures === 0 ? RENEW_MS : 0);
}

function change() {
  if (ended) return;
  if (rests()) {
    stop();
    say("paused");
  } else {
    failures = 0;
    start();
  }
}

// A question before a form is sent. Without this, the form comes back as a page that asks.
const dialog = document.createElement("dialog");

function ask(question, yes, then) {
  const text = document.createElement("p");
  text.textContent = question;
  text.id = "question";
  dialog.setAttribute("aria-labelledby", text.id);
  const buttons = document.createElement("div");
  buttons.className = "buttons";
  const sure = document.createElement("button");
  sure.className = "danger";
  sure.textContent = yes;
  sure.dataset.yes = "";
  sure.addEventListener("click", () => {
    dialog.close();
    then();
  });
  const not = document.createElement("button");
  not.textContent = "Go back";
  not.autofocus = true;
  not.addEventListener("click", () => dialog.close());
  buttons.append(sure, not);
  dialog.replaceChildren(text, buttons);
  if (!dialog.isConnected) document.body.append(dialog);
  dialog.showModal();
}

document.addEventListener("submit", (event) => {
  const form = event.target;
  const by = event.submitter;
  const question = by?.dataset.confirm ?? form.dataset.confirm;
  if (!question || form.elements.sure) return;
  event.preventDefault();
  ask(question, by?.textContent ?? "Continue", () => {
    const sure = document.createElement("input");
    Object.assign(sure, { type: "hidden", name: "sure", value: "yes" });
    form.append(sure);
    form.requestSubmit(by);
  });
});

// One box that ticks all of a list.
function ready(root) {
  for (const all of root.querySelectorAll("[data-tick-all]")) all.hidden = false;
}
document.addEventListener("change", (event) => {
  if (!event.target.matches("[data-tick-all]")) return;
  for (const box of event.target.form.querySelectorAll("input[name=id]")) box.checked = event.target.checked;
});

ready(document);
if (anew) {
  // What was said once is not said again by a reload.
  const address = new URL(anew.href);
  if (new URLSearchParams(location.search).has("said")) history.replaceState(null, "", address);
}
if (anew && main.dataset.still === undefined) {
  pause.hidden = false;
  pause.addEventListener("click", () => {
    pause.setAttribute("aria-pressed", String(!isPaused()));
    change();
  });
  document.addEventListener("visibilitychange", change);
  addEventListener("pagehide", stop);
  addEventListener("pageshow", start);
  start();
}
