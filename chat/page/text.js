// What was written, as nodes: links, code, names. Only text nodes and elements of ours; nothing in it is markup.

import {made} from "../kit/dom.js";

// A fence with the line breaks around it, a span of code, an address, a name; in this order where two could begin.
const TOKEN = /```\n?([\s\S]+?)\n?```\n?|`([^`\n]+)`|(https?:\/\/[^\s<>"]+)|(?<![\w@.])@([a-z0-9][a-z0-9._-]{0,31})/g;
const TRAILING = /[.,;:!?'*_~\])}]+$/;

/**
 * @param {string} text @param {(name: string) => "me" | "other" | null} whose  a name's owner; null: nobody's
 * @returns {Node[]}
 */
export function nodesOf(text, whose) {
  /** @type {Node[]} */
  const nodes = [];
  let end = 0;
  const plain = (/** @type {string} */ piece) => piece && nodes.push(document.createTextNode(piece));
  for (const match of text.matchAll(TOKEN)) {
    const [whole, fence, code, address, name] = match;
    plain(text.slice(end, match.index));
    end = match.index + whole.length;
    if (fence !== undefined) {
      const pre = made("pre");
      pre.append(made("code", fence));
      nodes.push(pre);
    } else if (code !== undefined) {
      nodes.push(made("code", code));
    } else if (address !== undefined) {
      end -= appendLink(nodes, address);
    } else {
      end -= appendName(nodes, name, whose);
    }
  }
  plain(text.slice(end));
  return nodes;
}

/** @param {Node[]} nodes @param {string} address @returns {number} how many characters at its end are none of it */
function appendLink(nodes, address) {
  let kept = address.replace(TRAILING, "");
  if (address[kept.length] === ")" && kept.includes("(")) {
    kept = address.slice(0, kept.length + 1);       // as in addresses of encyclopedias
  }
  if (!URL.canParse(kept)) {
    nodes.push(document.createTextNode(kept));
  } else {
    const link = made("a", kept);
    link.href = kept;
    link.target = "_blank";
    link.rel = "noopener noreferrer";
    nodes.push(link);
  }
  return address.length - kept.length;
}

/** @param {Node[]} nodes @param {string} name @param {(name: string) => "me" | "other" | null} whose */
function appendName(nodes, name, whose) {
  const bare = name.replace(/[._-]+$/, "");
  for (const each of new Set([name, bare])) {
    const owner = whose(each);
    if (owner) {
      nodes.push(made("span", `@${each}`, owner === "me" ? "mention me" : "mention"));
      return name.length - each.length;
    }
  }
  nodes.push(document.createTextNode(`@${name}`));
  return 0;
}
