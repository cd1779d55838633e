/**
 * Names of the buffers and locals of a program, and what stands behind them.
 *
 *   input w, a constant, x + w stored, a row's sum at hand   →   buffers w, constant0, t1; local0
 */

import { maximum } from "../ir/dim.js"
import type { KernelBuffer } from "../ir/kernel.js"
import type { Storage } from "../ir/loop.js"
import { homeOf } from "../ir/tensor/walk.js"
import type { Call, Constant, Input, Tensor } from "../ir/tensor.js"

export interface FusedBuffer extends KernelBuffer {
  readonly role: "input" | "constant" | "scratch"
  readonly constant?: Constant
  readonly input?: Input
}

/** Whether two calls are of one application, if their unit is the same. */
export const sameArgs = (a: Call, b: Call) => a.args.every((x, i) => x === b.args[i])

export type Naming = ReturnType<typeof createNaming>

/** Names of buffers and locals: inputs keep theirs, the rest are numbered in program order. */
export function createNaming(order: readonly Tensor[], localSet: ReadonlySet<Tensor>, storage: (t: Tensor) => Storage) {
  const buffers = new Map<string, FusedBuffer>()
  const names = new Map<Tensor, string>()
  const localNames = new Map<Tensor, string>()
  let count = 0
  for (const t of order) if (localSet.has(t)) localNames.set(t, `local${localNames.size}`)
  const capacity = (t: Tensor) => t.axes.map((a) => maximum(a.extent))
  const buffer = (t: Tensor): string => {
    const home = homeOf(t)
    if (home !== undefined && home !== t) return buffer(home)
    const known = names.get(t)
    if (known !== undefined) return known
    const name = t.kind === "input" ? t.name : t.kind === "constant" ? `constant${count++}` : `t${count++}`
    names.set(t, name)
    const shape = t.kind === "input" && t.role !== "input" ? t.capacity : capacity(t)
    if (t.kind === "input")
      buffers.set(name, { name, dtype: t.dtype, storage: t.storage, shape, role: "input", input: t })
    else if (t.kind === "constant")
      buffers.set(name, { name, dtype: t.dtype, storage: t.dtype, shape, role: "constant", constant: t })
    else buffers.set(name, { name, dtype: t.dtype, storage: storage(t), shape, role: "scratch" })
    return name
  }
  const result = (of: Call, index: number): string | undefined => {
    for (const [t, name] of names)
      if (t.kind === "call" && t.unit === of.unit && sameArgs(t, of) && t.result === index) return name
    return undefined
  }
  return {
    buffer,
    result,
    local: (t: Tensor) => localNames.get(t)!,
    buffers: () => buffers as ReadonlyMap<string, FusedBuffer>,
  }
}
