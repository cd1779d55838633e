/**
 * Prints the body of a kernel: names for its buffers and size symbols, then the statements. What stands around it (how arguments arrive, the
 * head of the function) is each target's own.
 */
import { type LoopKernel, workgroupNames } from "../../ir/loop.js"
import { symbolsOf } from "../../ir/loop-visit.js"
import type { Context, Dialect } from "./dialect.js"
import { symbolKey } from "./expression.js"
import { createLibrary } from "./library.js"
import { createNames } from "./names.js"
import { printBody } from "./statements.js"

export interface PrintedKernel {
  /** The names of the buffers, in their order. */
  readonly buffers: readonly string[]
  /** The lines inside of the kernel's function, indented. */
  readonly lines: readonly string[]
  /** What stands outside of it. */
  readonly globals: readonly string[]
  readonly helpers: readonly string[]
}

/** `symbol` is the text that reads a size symbol. */
export function printKernel(kernel: LoopKernel, dialect: Dialect, symbol: (name: string) => string): PrintedKernel {
  const names = createNames(dialect.reserved)
  const library = createLibrary(dialect.helper)
  const lines: string[] = []
  const globals: string[] = []
  let depth = 1
  let temporaries = 0
  const context: Context = {
    dialect,
    threads: kernel.threads,
    names,
    library,
    unrolled: new Map(),
    nonNegative: new Set(workgroupNames),
    definitions: new Map(),
    counters: new Set(),
    line: (text) => lines.push(`${"  ".repeat(depth)}${text}`),
    global: (text) => globals.push(text),
    temporary: () => names.fresh(`t${++temporaries}`),
    indented: (inner) => {
      depth++
      inner()
      depth--
    },
  }
  const buffers = kernel.buffers.map((b) => names.declare(b.name))
  for (const name of [...symbolsOf(kernel.body)].sort()) {
    const known = names.declare(symbolKey(name))
    context.line(dialect.declaration(known, { dtype: "i32", width: 1 }, symbol(name), false))
  }
  printBody(context, kernel.body)
  return { buffers, lines, globals, helpers: library.text() }
}
