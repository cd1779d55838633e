/**
 * Workgroups that a multiprocessor is to hold at a time, where the compiler can make room for them.
 *
 *     #ifndef RESIDENT_k15                                  printed before a kernel of 512 workgroups on 132 multiprocessors:
 *     #define RESIDENT_k15 4                                with 4 on each all run at once, with 3 a quarter of them would wait for the rest
 *     #endif
 *     KERNEL(256, RESIDENT_k15) k15(…) { … }
 *
 * It bounds the registers of a thread, and what does not fit lies in memory then, which costs more than is won. So a kernel that spills is compiled
 * again without the wish.
 */
import type { Binary } from "./architectures.js"
import type { Compiled } from "./compiler.js"

/** Changes with what is done with wishes here, which decides what a text becomes. */
export const residencyRules = 1

const wish = /^#define RESIDENT_(\w+) /gm

/** What makes a compiler tell of each kernel's registers and of what it keeps in memory for lack of them. */
export const tellOfSpills = "--ptxas-options=-v"

/** Compiles a text so that no kernel spills for the sake of a wish. PTX is made without wishes: nobody sees what a driver makes of it. */
export async function compileWithoutSpills(
  text: string,
  { kind }: Binary,
  compile: (text: string) => Promise<Compiled>,
): Promise<Compiled> {
  const wishes = Array.from(text.matchAll(wish), (match) => match[1]!)
  if (kind === "ptx") return compile(without(wishes) + text)
  const compiled = await compile(text)
  const spilled = spillsIn(compiled.log)
  const vain = wishes.filter((symbol) => spilled.has(symbol))
  return vain.length === 0 ? compiled : compile(without(vain) + text)
}

const without = (symbols: readonly string[]): string => symbols.map((s) => `#define RESIDENT_${s} 1\n`).join("")

/** Kernels that a log says to spill. */
export function spillsIn(log: string): ReadonlySet<string> {
  const parts = log.split(/Function properties for (\w+)/).slice(1)
  const spills = parts.flatMap((symbol, i) => {
    if (i % 2 === 1) return []
    const bytes = /(\d+) bytes spill stores, (\d+) bytes spill loads/.exec(parts[i + 1]!)
    return bytes !== null && (bytes[1] !== "0" || bytes[2] !== "0") ? [symbol] : []
  })
  return new Set(spills)
}
