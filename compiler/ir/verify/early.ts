/**
 * The rules of kernels that start before earlier launches have ended: until `await` they touch steady buffers only.
 *
 *   release; let w = weights[lane]; await; y[lane] = w · x[lane]     x and y may be what earlier launches write, or read
 *
 * Where the two may stand is a rule of shape (`loop.ts`): every lane comes to each once, so what is in front of `await` is what precedes it there.
 */
import type { LoopKernel, Statement } from "../loop.js"
import { everyStatement, readsOf, storesOf } from "../loop-visit.js"
import { printStatement } from "../print/loop.js"

/** What is wrong with where a kernel waits, each as a sentence. */
export function earlyProblems(kernel: LoopKernel): readonly string[] {
  const all = everyStatement(kernel.body)
  const [awaits, releases] = (["await", "release"] as const).map((kind) => all.filter((s) => s.kind === kind).length)
  const problems = kernel.buffers
    .filter((b) => b.steady === true && b.access !== "read")
    .map((b) => `${b.name} is called steady, and is written`)
  for (const b of kernel.buffers) if (b.once && !b.steady) problems.push(`${b.name} is read once, but is not steady`)
  if (awaits! > 1 || releases! > 1) problems.push("a kernel waits, and is released, once")
  if (releases! > 0 && awaits! === 0) problems.push("a kernel that does not wait is released")
  if (awaits! === 0) return problems
  const moving = new Set(kernel.buffers.filter((b) => b.steady !== true).map((b) => b.name))
  for (const s of all) {
    if (s.kind === "await") break
    const touched = touches(s, moving)
    if (touched !== undefined) problems.push(`${touched} is touched before 'await', in: ${printStatement(s)}`)
  }
  return problems
}

/** An array of these that a statement itself touches. */
export function touches(s: Statement, arrays: ReadonlySet<string>): string | undefined {
  if (s.kind === "prefetch" && arrays.has(s.array)) return s.array
  return [...storesOf(s), ...readsOf(s)].find((array) => arrays.has(array))
}
