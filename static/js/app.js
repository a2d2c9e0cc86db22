// Liveliness on top of pages that work without it. No build step, no dependency but htmx.
"use strict";

const root = document.documentElement;
root.classList.add("k-has-js");

const all = (selector, within = document) => [...within.querySelectorAll(selector)];
const on = (type, handle, options) => document.addEventListener(type, handle, options);
const closest = (event, selector) => (event.target instanceof Element ? event.target.closest(selector) : null);

/* Toasts ------------------------------------------------------------------ */

function toast(text, tone = "ok", url = "") {
  const box = document.getElementById("toasts");
  const shape = { ok: "s-done", busy: "s-busy", warn: "s-warn", bad: "s-bad" }[tone];
  const sprite = document.querySelector("use")?.getAttribute("href")?.split("#")[0] ?? "";
  const item = document.createElement("div");
  item.className = "k-toast-h";
  item.dataset.toast = "";
  item.innerHTML = `<span class="k-st k-st-${tone}"><svg class="k-ico" aria-hidden="true"><use/></svg></span><div class="k-what"></div>`;
  item.querySelector("use").setAttribute("href", `${sprite}#${shape}`);
  item.querySelector(".k-what").textContent = text;
  if (url) {
    const link = document.createElement("a");
    Object.assign(link, { href: url, textContent: "Show" });
    item.querySelector(".k-what").append(" ", link);
  }
  box.append(item);
  settleToasts();
}

function settleToasts() {
  for (const item of all("[data-toast]:not([data-settled])")) {
    item.dataset.settled = "";
    if (!item.querySelector(".k-st-bad")) setTimeout(() => item.remove(), 6000);
  }
}

on("click", (event) => closest(event, "[data-dismiss]")?.closest("[data-toast]")?.remove());

// Browsers keep it silent until somebody has used the page.
function ring() {
  const audio = new AudioContext();
  const tone = audio.createOscillator();
  const volume = audio.createGain();
  const end = audio.currentTime + 0.5;
  tone.frequency.value = 880;
  volume.gain.setValueAtTime(0.15, audio.currentTime);
  volume.gain.exponentialRampToValueAtTime(0.001, end);
  tone.connect(volume).connect(audio.destination);
  tone.onended = () => audio.close();
  tone.start();
  tone.stop(end);
}

on("htmx:afterSwap", (event) => event.detail.elt.querySelector("[data-rings]") && ring());

/* Copy -------------------------------------------------------------------- */

async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    // Clipboard access needs a secure context; a selection in a hidden field works everywhere.
    const field = document.createElement("textarea");
    field.value = text;
    field.className = "visually-hidden";
    document.body.append(field);
    field.select();
    document.execCommand("copy");
    field.remove();
  }
  toast("Copied");
}

on("click", (event) => {
  const button = closest(event, "[data-copy]");
  if (button) copy(button.dataset.copy);
});

/* Times ------------------------------------------------------------------- */

const UNITS = [[86400, "d"], [3600, "h"], [60, "min"]];

function span(seconds) {
  for (const [size, unit] of UNITS) if (seconds >= size) return `${Math.floor(seconds / size)} ${unit}`;
  return `${Math.floor(seconds)} s`;
}

function tellTimes() {
  for (const time of all("time[data-ago]")) {
    const seconds = (Date.now() - Date.parse(time.dateTime)) / 1000;
    if (Math.abs(seconds) >= 30 * 86400) continue;
    if (seconds >= 86400 && seconds < 2 * 86400) time.textContent = "yesterday";
    else time.textContent = seconds < 0 ? `in ${span(-seconds)}` : `${span(seconds)} ago`;
  }
}

setInterval(() => document.hidden || tellTimes(), 1000);

/* Menus and dialogs ------------------------------------------------------- */

on("click", (event) => {
  for (const menu of all("details.k-menu[open]")) if (!menu.contains(event.target)) menu.open = false;
});

on("keydown", (event) => {
  if (event.key !== "Escape") return;
  for (const menu of all("details.k-menu[open]")) {
    menu.open = false;
    menu.querySelector("summary").focus();
  }
  if (location.hash === "#navigation") location.hash = "#main";
});

// A link with data-dialog leads to a page that asks something; here its card is shown over the page one is on.
on("click", async (event) => {
  const link = closest(event, "a[data-dialog]");
  if (!link || event.ctrlKey || event.metaKey || event.shiftKey) return;
  event.preventDefault();
  link.closest("details.k-menu")?.removeAttribute("open");
  const answer = await fetch(link.href, { headers: { "HX-Request": "true", "HX-Target": "dialog" } }).catch(() => null);
  if (!answer?.ok) return location.assign(link.href);
  const dialog = document.createElement("dialog");
  dialog.className = "k-dialog";
  dialog.innerHTML = await answer.text();
  document.body.append(dialog);
  htmx.process(dialog);
  prepare(dialog);
  dialog.addEventListener("close", () => dialog.remove());
  dialog.showModal();
});

on("click", (event) => {
  const dialog = closest(event, "dialog");
  if (dialog && (event.target === dialog || closest(event, "[data-close]"))) {
    event.preventDefault();
    dialog.close();
  }
});

// The button that destroys waits until the name is typed; the server asks again.
on("input", (event) => {
  const field = closest(event, "[data-must-be]");
  const button = field && field.form.querySelector("[data-danger]");
  if (button) button.disabled = field.value.trim() !== field.dataset.mustBe;
});

/* Forms ------------------------------------------------------------------- */

// A slider and a number show the same value; only the number has a name, so it works alone without scripts.
on("input", (event) => {
  const pair = closest(event, "[data-pair]");
  const other = pair && document.getElementById(pair.dataset.pair);
  if (!other) return;
  other.value = pair.value;
  if (pair.type === "range") other.dispatchEvent(new Event("input", { bubbles: true }));
});

// One row more of a list in a form, without sending what was typed so far; without scripts the button sends it.
on("click", (event) => {
  const button = closest(event, "[data-rows] button[name=add]");
  const rows = button?.closest("[data-rows]");
  const total = rows?.querySelector(`[name="${rows.dataset.rows}-TOTAL_FORMS"]`);
  const blank = rows?.querySelector("template");
  if (!total || !blank) return;
  event.preventDefault();
  blank.insertAdjacentHTML("beforebegin", blank.innerHTML.replaceAll("__prefix__", total.value));
  total.value = Number(total.value) + 1;
  blank.previousElementSibling.querySelector("input:not([type=hidden])")?.focus();
});

// Another template makes another form; what was typed goes along.
on("click", (event) => {
  const link = closest(event, "a[data-carry]");
  const form = link?.closest("form");
  if (!form) return;
  const url = new URL(link.href);
  for (const name of ["name", "description", "region"]) {
    const value = new FormData(form).get(name);
    if (value) url.searchParams.set(name, value);
  }
  link.href = url.href;
});

on("submit", (event) => {
  const button = event.submitter;
  if (button?.getAttribute("aria-disabled") === "true") return event.preventDefault();
  if (event.target.method === "post" && button && !event.target.hasAttribute("hx-post")) {
    // A second click on a slow line must not ask twice.
    if (event.target.dataset.sent) return event.preventDefault();
    event.target.dataset.sent = "yes";
    button.classList.add("k-waiting");
  }
});

// What was refused stays in its field, and to load the page again must not send it again.
if (document.querySelector("form[data-answered]")) history.replaceState(history.state, "", location.href);

addEventListener("pageshow", () => all("form[data-sent]").forEach((form) => delete form.dataset.sent));

on("click", (event) => {
  const button = closest(event, "[aria-disabled=true]");
  if (!button) return;
  event.preventDefault();
  if (button.title) toast(button.title, "warn");
});

// A list that is asked for anew stays as it is until the new one comes; a thin bar says that something is on its way.
const LISTS = ".k-tools form[method=get], .k-tools a, #list thead a, .k-pager a, .nav-tabs a";
const waits = (isOn) => root.classList.toggle("k-loading", isOn);
for (const type of ["submit", "click"]) {
  addEventListener(type, (event) => {
    const asked = closest(event, LISTS);
    const isElsewhere = event.ctrlKey || event.metaKey || event.shiftKey || asked?.hasAttribute("download");
    if (asked && !isElsewhere && !event.defaultPrevented && (type === "submit" || asked.href)) waits(true);
  });
}
addEventListener("pageshow", () => waits(false));
on("htmx:beforeRequest", (event) => isPoll(event.detail.elt) || event.defaultPrevented || waits(true));
on("htmx:afterRequest", (event) => isPoll(event.detail.elt) || waits(false));

/* Live fragments ---------------------------------------------------------- */

// What each polling element last got, and how its line is: failures double the pause up to a minute.
const lines = new Map();
const line = (id) => lines.get(id) ?? lines.set(id, { tag: "", failures: 0, next: 0, seen: Date.now() }).get(id);
const isPoll = (element) => element?.hasAttribute?.("data-live");

on("htmx:beforeRequest", (event) => {
  const element = event.detail.elt;
  if (!isPoll(element)) return;
  if (document.hidden || isBusy(element) || Date.now() < line(element.id).next) event.preventDefault();
});

// Somebody who has a menu open, types or has marked text in the fragment must not lose it.
function isBusy(element) {
  const active = document.activeElement;
  const isTyping = element.contains(active) && active.matches("input:not([type=checkbox]), textarea, select");
  const selection = getSelection();
  const isMarking = !selection.isCollapsed && element.contains(selection.anchorNode);
  return isTyping || isMarking || element.querySelector("details.k-menu[open], details[data-hold][open]") !== null;
}

on("htmx:configRequest", (event) => {
  const element = event.detail.elt;
  if (isPoll(element) && line(element.id).tag) event.detail.headers["If-None-Match"] = line(element.id).tag;
});

// A session that ended answers with the login page: show that instead of putting it into a corner of this one.
on("htmx:beforeSwap", (event) => {
  const { xhr, pathInfo, elt } = event.detail;
  const asked = new URL(pathInfo?.requestPath ?? "", location.href).pathname;
  if (xhr.responseURL && new URL(xhr.responseURL).pathname !== asked) {
    event.detail.shouldSwap = false;
    location.reload();
  } else if (elt.id === "server-head") fates.set("before", elt.dataset.open);
});

// A long action ends in a toast: the fragment knows which operation is open and what became of the last one.
const fates = new Map();
on("htmx:afterSettle", () => {
  const head = document.getElementById("server-head");
  if (!head || !fates.get("before")) return;
  if (!head.dataset.open && head.dataset.fate) {
    toast(head.dataset.fate, head.dataset.fateTone, head.dataset.fateUrl);
    fates.delete("before");
  }
});

on("htmx:afterRequest", (event) => {
  const { elt: element, xhr } = event.detail;
  if (!isPoll(element) || !xhr) return;
  const now = line(element.id);
  if (xhr.status === 304 || (xhr.status >= 200 && xhr.status < 300)) {
    Object.assign(now, { tag: xhr.getResponseHeader("ETag") ?? "", failures: 0, next: 0, seen: Date.now() });
  } else if (xhr.status === 401 || xhr.status === 403 || xhr.status === 404) {
    location.reload();
  } else {
    now.failures += 1;
    now.next = Date.now() + Math.min(60000, 2000 * 2 ** now.failures);
  }
  tellLines();
});

function tellLines() {
  const worst = [...lines.values()].reduce((a, b) => (a.failures >= b.failures ? a : b), { failures: 0, seen: 0 });
  for (const note of all("[data-live-note]")) {
    const isLost = worst.failures > 0;
    note.classList.toggle("k-stale", isLost);
    note.textContent = isLost ? `Last seen ${span((Date.now() - worst.seen) / 1000)} ago, trying again` : "Live";
  }
}

setInterval(() => document.hidden || tellLines(), 1000);
on("visibilitychange", () => {
  if (document.hidden) return;
  tellTimes();
  for (const element of all("[data-live]")) htmx.trigger(element, "look");
});

on("htmx:afterSwap", (event) => prepare(event.detail.elt));
on("htmx:responseError", (event) => {
  if (isPoll(event.detail.elt)) return;
  const text = new DOMParser().parseFromString(event.detail.xhr.responseText, "text/html").querySelector("[role=alert] p");
  toast(text?.textContent ?? "That did not work. Try again.", "bad");
});
on("htmx:sendError", (event) => isPoll(event.detail.elt) || toast("The hub does not answer. Try again.", "bad"));

/* Selection in lists ------------------------------------------------------ */

const picked = new Set();

function showPicked() {
  const boxes = all("[data-pick]");
  // What a refresh took out of the list is not sent, so it is not counted either.
  const there = new Set(boxes.map((box) => box.value));
  for (const id of picked) if (!there.has(id)) picked.delete(id);
  for (const box of boxes) {
    box.checked = picked.has(box.value);
    box.closest("tr").classList.toggle("k-sel", box.checked);
  }
  const bar = document.querySelector("[data-bulk]");
  if (!bar) return;
  bar.hidden = picked.size === 0;
  for (const note of all("[data-bulk-count]", bar)) note.textContent = `${picked.size} selected`;
  const head = document.querySelector("[data-pick-all]");
  const checked = boxes.filter((box) => box.checked).length;
  if (head) Object.assign(head, { checked: checked > 0 && checked === boxes.length, indeterminate: checked > 0 && checked < boxes.length });
}

let lastBox = null;
on("click", (event) => {
  const box = closest(event, "[data-pick]");
  if (box) {
    const boxes = all("[data-pick]");
    const from = event.shiftKey && lastBox ? boxes.indexOf(lastBox) : -1;
    const to = boxes.indexOf(box);
    const range = from < 0 ? [box] : boxes.slice(Math.min(from, to), Math.max(from, to) + 1);
    for (const one of range) box.checked ? picked.add(one.value) : picked.delete(one.value);
    lastBox = box;
    showPicked();
  } else if (closest(event, "[data-pick-all]")) {
    for (const one of all("[data-pick]")) event.target.checked ? picked.add(one.value) : picked.delete(one.value);
    showPicked();
  } else if (closest(event, "[data-pick-none]")) {
    picked.clear();
    showPicked();
  }
});

/* Secrets hide again ------------------------------------------------------ */

function hideSecrets(within) {
  for (const box of all("[data-secret]", within)) {
    const seconds = Number(box.dataset.secret);
    setTimeout(() => box.isConnected && htmx.ajax("GET", box.dataset.hidden, { target: box, swap: "outerHTML" }), seconds * 1000);
  }
}

/* Logs follow ------------------------------------------------------------- */

let isFollowing = true;
function followLog() {
  const log = document.querySelector("[data-log]");
  if (log && isFollowing) log.scrollTop = log.scrollHeight;
}
on("scroll", (event) => {
  const log = event.target;
  if (log.matches?.("[data-log]")) isFollowing = log.scrollHeight - log.scrollTop - log.clientHeight < 24;
}, true);

/* Uploads ----------------------------------------------------------------- */

// A large file goes in pieces, so that a line that breaks costs one piece and the rest can follow later. Without scripts
// the form sends a small file whole.
async function post(form, url, body) {
  const token = form.querySelector("[name=csrfmiddlewaretoken]").value;
  const answer = await fetch(url, { method: "POST", body, headers: { "X-CSRFToken": token, Accept: "application/json" } });
  const said = await answer.json().catch(() => ({}));
  if (!answer.ok) throw new Error(said.problem ?? `The hub answered ${answer.status}. Try again.`);
  return said;
}

async function begin(form, file) {
  const url = form.dataset.uploadUrl;
  if (url) return { piece_url: `${url}/piece`, finish_url: `${url}/finish`, received: Number(form.dataset.uploadAt) };
  const body = new FormData(form);
  body.delete("file");
  body.set("size_bytes", file.size);
  return post(form, form.action, body);
}

async function send(form, file) {
  const bar = form.querySelector("[data-upload-bar]");
  const step = Number(form.dataset.upload);
  let upload = await begin(form, file);
  const isNew = Boolean(upload.url);
  // Asked again after a broken line, the form goes on with what it has begun.
  if (isNew) form.dataset.uploadUrl = upload.url;
  bar.hidden = false;
  for (let at = upload.received; at < file.size; at = upload.received) {
    bar.value = (100 * at) / file.size;
    upload = await post(form, `${upload.piece_url}?offset=${at}`, file.slice(at, at + step));
    form.dataset.uploadAt = upload.received;
  }
  bar.value = 100;
  const done = await post(form, upload.finish_url, "").catch((error) => {
    if (isNew) delete form.dataset.uploadUrl; // it was refused: something else is sent next
    throw error;
  });
  location.assign(done.url);
}

on("submit", (event) => {
  const form = event.target;
  const file = form.matches("form[data-upload]") ? form.querySelector("input[name=file]").files[0] : null;
  if (!file || event.defaultPrevented) return;
  event.preventDefault();
  const problem = form.querySelector("[data-upload-problem]");
  problem.hidden = true;
  send(form, file).catch((error) => {
    problem.textContent = error.message;
    problem.hidden = false;
    delete form.dataset.sent;
    all(".k-waiting", form).forEach((button) => button.classList.remove("k-waiting"));
  });
});

/* Console ----------------------------------------------------------------- */

// Arrow keys bring back what was sent; a command that was taken leaves the line empty for the next.
let recalled = 0;
on("keydown", (event) => {
  const field = closest(event, "[data-console] input[name=text]");
  const step = { ArrowUp: 1, ArrowDown: -1 }[event.key];
  if (!field || !step || event.altKey || event.ctrlKey || event.metaKey) return;
  const said = [...new Set(all("[data-said]").map((line) => line.textContent).reverse())];
  if (!said.length) return;
  event.preventDefault();
  recalled = Math.max(0, Math.min(recalled + step, said.length));
  field.value = recalled ? said[recalled - 1] : "";
  field.setSelectionRange(field.value.length, field.value.length);
});

on("input", (event) => { if (closest(event, "[data-console]")) recalled = 0; });

on("htmx:afterRequest", (event) => {
  const form = event.detail.elt;
  if (!form.matches?.("[data-console]") || !event.detail.successful) return;
  form.reset();
  recalled = 0;
  isFollowing = true;
  followLog();
});

/* Theme ------------------------------------------------------------------- */

on("submit", (event) => {
  const form = closest(event, "[data-theme-form]");
  if (!form) return;
  event.preventDefault();
  const theme = event.submitter.value;
  if (theme === "auto") delete root.dataset.bsTheme;
  else root.dataset.bsTheme = theme;
  fetch(form.action, { method: "POST", body: new FormData(form, event.submitter), redirect: "manual", keepalive: true });
  delete form.dataset.sent;
  form.closest("details").open = false;
});

/* Search or jump ---------------------------------------------------------- */

let palette = null;

function openPalette() {
  if (palette) return;
  palette = document.createElement("dialog");
  palette.className = "k-palette";
  palette.setAttribute("aria-label", "Search or jump");
  palette.innerHTML = document.getElementById("palette").innerHTML;
  document.body.append(palette);
  htmx.process(palette);
  palette.addEventListener("close", () => { palette.remove(); palette = null; });
  palette.showModal();
  palette.querySelector("input").focus();
  htmx.trigger(palette.querySelector("input"), "look");
}

function movePalette(step) {
  const hits = all("a[role=option], button[role=option]", palette);
  const now = hits.findIndex((hit) => hit.getAttribute("aria-selected") === "true");
  const next = hits[(now + step + hits.length) % hits.length];
  hits.forEach((hit) => hit.setAttribute("aria-selected", String(hit === next)));
  next?.scrollIntoView({ block: "nearest" });
  if (next) palette.querySelector("input").setAttribute("aria-activedescendant", next.id);
}

/* Enter is often faster than the answer: what is shown then belongs to an earlier text, so it is not opened. */
function choose() {
  const input = palette.querySelector("input");
  if (palette.dataset.shown === input.value) return palette.querySelector("[aria-selected=true]")?.click();
  palette.dataset.opens = input.value;
  htmx.trigger(input, "look");
}

on("htmx:afterSwap", (event) => {
  if (!palette || event.target.id !== "palette-hits") return;
  palette.dataset.shown = new URL(event.detail.xhr.responseURL).searchParams.get("q") ?? "";
  if (palette.dataset.opens === palette.dataset.shown) choose();
});

on("input", (event) => {
  if (palette?.contains(event.target)) delete palette.dataset.opens;
});

on("keydown", (event) => {
  const isField = event.target.matches?.("input, textarea, select, [contenteditable]");
  if ((event.key === "k" && (event.ctrlKey || event.metaKey)) || (event.key === "/" && !isField && !event.ctrlKey)) {
    event.preventDefault();
    return openPalette();
  }
  if (!palette) return;
  if (event.key === "ArrowDown" || event.key === "ArrowUp") {
    event.preventDefault();
    movePalette(event.key === "ArrowDown" ? 1 : -1);
  } else if (event.key === "Enter") {
    event.preventDefault();
    choose();
  } else if (event.key === "c" && event.ctrlKey && getSelection().isCollapsed) {
    const address = palette.querySelector("[aria-selected=true]")?.dataset.address;
    if (address) copy(address);
  }
});

on("click", (event) => {
  if (closest(event, "[data-palette-open] input, a[data-palette-open]")) {
    event.preventDefault();
    openPalette();
  }
});

/* Shortcuts --------------------------------------------------------------- */

function openShortcuts() {
  if (document.querySelector("dialog[open]")) return;
  const dialog = document.createElement("dialog");
  dialog.className = "k-dialog";
  dialog.setAttribute("aria-label", "Keyboard shortcuts");
  dialog.innerHTML = document.getElementById("shortcuts").innerHTML;
  document.body.append(dialog);
  dialog.addEventListener("close", () => dialog.remove());
  dialog.showModal();
}

// `g`, then the first letter of a section of the navigation.
let goesUntil = 0;
on("keydown", (event) => {
  const isField = event.target.matches?.("input, textarea, select, [contenteditable]");
  if (isField || event.ctrlKey || event.metaKey || event.altKey || document.querySelector("dialog[open]")) return;
  if (event.key === "?") {
    event.preventDefault();
    openShortcuts();
  } else if (event.key === "g") {
    goesUntil = Date.now() + 1500;
  } else if (event.key.length === 1 && Date.now() < goesUntil) {
    goesUntil = 0;
    document.querySelector(`[data-go="${CSS.escape(event.key)}"]`)?.click();
  }
});

on("click", (event) => {
  if (!closest(event, "[data-shortcuts]")) return;
  closest(event, "details.k-menu")?.removeAttribute("open");
  openShortcuts();
});

/* Begin ------------------------------------------------------------------- */

function prepare(within) {
  settleToasts();
  showPicked();
  tellTimes();
  hideSecrets(within);
  followLog();
}

on("DOMContentLoaded", () => prepare(document));
