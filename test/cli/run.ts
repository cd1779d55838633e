/** Runs the command line as a person does: `npm start -- args`, without npm. */
import { type ChildProcess, spawn } from "node:child_process"
import { join } from "node:path"
import { vi } from "vitest"
import { run } from "../../cli/run.js"
import { root } from "../support/goldens.js"

export interface Ended {
  readonly code: number | null
  readonly stdout: string
  readonly stderr: string
}

/**
 * Runs the command line inside of this process: for what it says, and not for how a process behaves. A process of its own takes half a second of
 * starting. With `terminal` both streams say that they are one.
 */
export async function weftHere(args: readonly string[], { terminal = false } = {}): Promise<Ended> {
  const said = { stdout: "", stderr: "" }
  const before = [process.stdout.isTTY, process.stderr.isTTY] as const
  const own = process.argv
  process.argv = [process.execPath, start, ...args]
  if (terminal) process.stdout.isTTY = process.stderr.isTTY = true
  const spies = (["stdout", "stderr"] as const).map((name) =>
    vi.spyOn(process[name], "write").mockImplementation((text) => {
      said[name] += text
      return true
    }),
  )
  try {
    return { code: await run(args), ...said }
  } finally {
    for (const spy of spies) spy.mockRestore()
    process.argv = own
    if (terminal) [process.stdout.isTTY, process.stderr.isTTY] = before
  }
}

/** `during` gets the child while it runs. */
export function weft(args: readonly string[], during: (child: ChildProcess) => void = () => {}): Promise<Ended> {
  return ended(spawn(process.execPath, [start, ...args], { cwd: root }), during)
}

/** The same in a terminal, which `script` of util-linux makes; both streams of the command come on its one screen. */
export function weftInTerminal(args: readonly string[]): Promise<Ended> {
  const quoted = [process.execPath, start, ...args].map((word) => `'${word.replaceAll("'", `'\\''`)}'`).join(" ")
  return ended(spawn("script", ["-qec", quoted, "/dev/null"], { cwd: root, stdio: ["ignore", "pipe", "pipe"] }))
}

const start = join(root, "scripts", "start.mjs")

function ended(child: ChildProcess, during: (child: ChildProcess) => void = () => {}): Promise<Ended> {
  const said = { stdout: "", stderr: "" }
  child.stdout!.setEncoding("utf8").on("data", (text: string) => (said.stdout += text))
  child.stderr!.setEncoding("utf8").on("data", (text: string) => (said.stderr += text))
  during(child)
  return new Promise((resolve, reject) => {
    child.on("error", reject)
    child.on("close", (code) => resolve({ code, ...said }))
  })
}
