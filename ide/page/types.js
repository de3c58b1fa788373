// What the server's JSON holds. For who reads it and for editors: no page loads this file.

/**
 * @typedef {"stopped" | "starting" | "running" | "stopping" | "failed"} State
 * @typedef {{id: string, name: string, template: string, run: string, state: State, error: string | null, sandbox: string,
 *   created: string, opened: string, bytes: number, files: number, terminals: number, keep_running: boolean}} Project
 * @typedef {{name: string, path: string, href: string, kind: "file" | "dir" | "link" | "other", size: number, mtime: string}} Entry
 * @typedef {{id: string, kind: "shell" | "run" | "setup", title: string, cols: number, rows: number, alive: boolean,
 *   exit: number | null, offset: number}} Terminal
 * @typedef {{name: string, title: string, image: string, run: string, available: boolean, missing: string | null}} Template
 */

export {};
