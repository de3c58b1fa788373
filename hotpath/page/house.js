// What runs here, how it is, and who answers: the landing page's three live facts.

const ASK_TIMES = 20;
const PATIENCE_MS = 5000;

/**
 * @typedef {{path: string, text: string}} Link
 * @typedef {{name: string, title: string, about: string, links: Link[], well: boolean,
 *            latency_ms: number | null, restarts: number}} Part
 * @typedef {{check_every_s: number, parts: Part[]}} Status
 */

/** @param {string} id @returns {HTMLElement} */
const byId = (id) => /** @type {HTMLElement} */ (document.getElementById(id));

/** @param {string} path @returns {Promise<any>} the JSON there; throws with a sentence for the reader */
async function getJson(path) {
  const response = await fetch(path, {cache: "no-store", signal: AbortSignal.timeout(PATIENCE_MS)});
  if (!response.ok) {
    throw new Error(`${path} answered ${response.status}`);
  }
  return response.json();
}

/** Set text only when it changed: screen readers announce every write to a status. @param {Element} element @param {string} text */
function write(element, text) {
  if (element.textContent !== text) {
    element.textContent = text;
  }
}

/** @param {Part} part @returns {string} */
function stateOf(part) {
  const restarts = part.restarts === 0 ? "" : `, restarted ${part.restarts} time${part.restarts === 1 ? "" : "s"}`;
  return part.well ? `well, answers in ${part.latency_ms} ms${restarts}` : `does not answer${restarts}`;
}

/** @param {Part} part @returns {Element} the card of this part, made when it is new */
function cardOf(part) {
  const known = document.querySelector(`[data-name="${CSS.escape(part.name)}"]`);
  if (known) {
    return known;
  }
  const template = /** @type {HTMLTemplateElement} */ (byId("part"));
  const card = /** @type {Element} */ (template.content.cloneNode(true).firstElementChild);
  card.setAttribute("data-name", part.name);
  for (const {path, text} of part.links) {
    const link = document.createElement("a");
    link.href = path;
    link.textContent = `${path}: ${text}`;
    const item = document.createElement("li");
    item.append(link);
    card.querySelector(".links")?.append(item);
  }
  byId("parts").append(card);
  return card;
}

/** @param {Status} status */
function show(status) {
  for (const part of status.parts) {
    const card = cardOf(part);
    const state = /** @type {Element} */ (card.querySelector(".state"));
    write(/** @type {Element} */ (card.querySelector(".title")), part.title);
    write(/** @type {Element} */ (card.querySelector(".about")), part.about);
    write(state, stateOf(part));
    state.setAttribute("data-well", String(part.well));
  }
  const unwell = status.parts.filter((part) => !part.well).map((part) => part.title);
  write(byId("summary"), unwell.length === 0 ? "Everything is well." : `Not well: ${unwell.join(", ")}.`);
}

/** Ask for ever; each answer says how long to wait for the next. */
async function watch() {
  let pauseMs = 2000;
  try {
    const status = /** @type {Status} */ (await getJson("/status.json"));
    show(status);
    pauseMs = status.check_every_s * 1000;
  } catch (error) {
    write(byId("summary"), `No news from the house (${/** @type {Error} */ (error).message}). Trying again…`);
  }
  setTimeout(watch, pauseMs);
}

/** @param {Map<string, number>} counts */
function showAnswers(counts) {
  byId("answers").replaceChildren(...[...counts].sort().map(([name, count]) => {
    const item = document.createElement("li");
    item.textContent = `${name}: ${count}`;
    return item;
  }));
}

async function askAll() {
  const button = /** @type {HTMLButtonElement} */ (byId("ask"));
  /** @type {Map<string, number>} */
  const counts = new Map();
  button.disabled = true;
  write(byId("asked"), "Asking…");
  try {
    for (let n = 0; n < ASK_TIMES; n += 1) {
      const {name} = await getJson("/sample/whoami");
      counts.set(name, (counts.get(name) ?? 0) + 1);
      showAnswers(counts);
    }
    write(byId("asked"), `${ASK_TIMES} answers, from ${counts.size} servers.`);
  } catch (error) {
    write(byId("asked"), `That went wrong: ${/** @type {Error} */ (error).message}.`);
  }
  button.disabled = false;
}

byId("ask").addEventListener("click", askAll);
watch();
