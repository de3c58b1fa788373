// A statement as it is read: its keywords stand out.

const WORD = new RegExp(`\\b(?:${[
  "SELECT", "FROM", "WHERE", "AND", "OR", "IN", "ORDER BY", "GROUP BY", "LIMIT", "FOR UPDATE", "FOR SHARE",
  "LOCK IN SHARE MODE", "SKIP LOCKED", "NOWAIT", "UPDATE", "SET", "INSERT INTO", "VALUES", "DELETE", "RETURNING",
  "BEGIN", "IMMEDIATE", "START TRANSACTION", "COMMIT", "ROLLBACK", "SAVEPOINT", "RELEASE", "AS", "IS", "NOT", "NULL",
].join("|")})\\b`, "g");

/** @param {string} sql @returns {string} on one line */
export const flat = (sql) => sql.replace(/\s+/g, " ").trim();

/** @param {string} sql @returns {(string | HTMLElement)[]} for `replaceChildren` */
export function highlighted(sql) {
  const text = flat(sql);
  const parts = [];
  let end = 0;
  for (const match of text.matchAll(WORD)) {
    const keyword = document.createElement("b");
    keyword.textContent = match[0];
    parts.push(text.slice(end, match.index), keyword);
    end = match.index + match[0].length;
  }
  return [...parts, text.slice(end)];
}
