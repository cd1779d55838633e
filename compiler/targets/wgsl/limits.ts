/**
 * What a WebGPU adapter allows, as data, and the check of a kernel against it.
 *
 *   checkWgsl(kernel, defaultWgslLimits)
 *   → undefined                                  the kernel can be printed and run
 *   → { code: "wgsl/shared-bytes", message: "kernel 'scores' needs 20480 bytes of workgroup memory; the adapter has 16384" }
 *
 * `defaultWgslLimits` is what every WebGPU implementation gives without being asked. A device reports its own record, of this shape.
 * Sizes of buffers are the plan's business, not the printer's.
 */
import type { ErrorCode } from "../../../runtime/errors.js"
import type { Half, LoopKernel, Statement } from "../../ir/loop.js"
import { storageBytes } from "../../ir/loop.js"
import { everyStatement } from "../../ir/loop-visit.js"
import { arrayLayouts, inWords, type Layouts } from "./arrays.js"

export interface WgslLimits {
  /** Threads of a workgroup. */
  readonly invocations: number
  /** Bytes of `var<workgroup>` arrays. */
  readonly workgroupBytes: number
  /** Storage buffers that one kernel may bind. */
  readonly storageBuffers: number
  /** Whether lanes of a subgroup can exchange values. */
  readonly subgroups: boolean
  /** Whether there is arithmetic of f16. */
  readonly f16?: boolean
  /** Atoms of `ir/fragments/atoms.ts` that the adapter multiplies by; none when left out. */
  readonly atoms?: readonly string[]
  /** Lanes of the smallest subgroup that the adapter may run; a shuffle's mask must stay below. */
  readonly subgroupSize: number
}

export const defaultWgslLimits: WgslLimits = {
  invocations: 256,
  workgroupBytes: 16384,
  storageBuffers: 8,
  subgroups: false,
  subgroupSize: 4,
}

/** Size symbols that the uniform buffer holds: 16 KiB, the least that every implementation binds. */
export const symbolCapacity = 4096

export interface WgslRefusal {
  readonly code: ErrorCode
  readonly message: string
}

/** The first reason why this kernel cannot run under these limits. */
export function checkWgsl(kernel: LoopKernel, limits: WgslLimits): WgslRefusal | undefined {
  const refuse = (code: ErrorCode, what: string) => ({ code, message: `kernel '${kernel.name}' ${what}` })
  const statements = everyStatement(kernel.body)
  const layouts = arrayLayouts(kernel)
  const shared = statements.reduce((n, s) => (s.kind === "alloc" && s.space === "shared" ? n + paddedBytes(s) : n), 0)

  if (kernel.threads > limits.invocations)
    return refuse("wgsl/threads", `has ${kernel.threads} threads; the adapter allows ${limits.invocations}`)
  if (kernel.buffers.length > limits.storageBuffers)
    return refuse("wgsl/buffers", `binds ${kernel.buffers.length} buffers; the adapter allows ${limits.storageBuffers}`)
  if (shared > limits.workgroupBytes)
    return refuse(
      "wgsl/shared-bytes",
      `needs ${shared} bytes of workgroup memory; the adapter has ${limits.workgroupBytes}`,
    )
  for (const s of statements) {
    if (s.kind === "shuffle" && !limits.subgroups)
      return refuse("wgsl/subgroups", "exchanges values between lanes; the adapter has no subgroups")
    if (s.kind === "shuffle" && s.mask >= limits.subgroupSize)
      return refuse("wgsl/shuffle", `exchanges over mask ${s.mask}; a subgroup may have ${limits.subgroupSize} lanes`)
    const target = halfWord(s, layouts)
    if (target !== undefined)
      return refuse(
        "wgsl/packed-store",
        `stores half a word to '${target.name}'; ${target.storage} is written in pairs`,
      )
  }
  return undefined
}

const paddedBytes = ({ size, dtype, storage }: Statement & { kind: "alloc" }) =>
  Math.ceil((size * storageBytes(storage ?? dtype)) / 16) * 16

/** The packed array of which a statement writes less than a 32-bit word. */
function halfWord(s: Statement, layouts: Layouts): { name: string; storage: Half } | undefined {
  if (s.kind !== "store" || s.value.width % 2 === 0) return undefined
  const layout = layouts.get(s.array)
  return layout !== undefined && inWords(layout) ? { name: s.array, storage: layout.storage as Half } : undefined
}
