/** What the page is told beside the explanation itself. */
import type { Precision } from "../../../runtime/artifact.js"
import type { MemoryEstimate } from "../../../runtime/memory.js"
import type { DeviceRecord } from "../devices.js"

export interface PageOptions {
  /** What was compiled, for the heading: a config's or a checkpoint's name. */
  readonly subject?: string | undefined
  readonly device?: DeviceRecord | undefined
  readonly precision?: Precision | undefined
  /** Microseconds of one launch, by the kernel's name. */
  readonly measured?: ReadonlyMap<string, number> | undefined
  /** What the page carries as data; the facts when left out. */
  readonly data?: unknown
  readonly memory: MemoryEstimate
  readonly compileSeconds: number
  readonly peakRssBytes: number
}
