/**
 * A kernel's schedule in a record: found by structure, told in the kernel's own names.
 *
 *   { axes: ["seq", "out", "embed"], schedule: { … out: { block: 64 } … } }   for a kernel over (row, unit, channel)   →   unit: { block: 64 }
 *
 * Buffers and locals need no names of their own: those of a kernel that is compiled are canonical.
 */
import type { Kernel } from "../../ir/kernel.js"
import { renamedAxes, type Schedule, scheduleForm } from "../../ir/schedule.js"
import { fingerprintOf } from "../../kernel/fingerprint.js"
import type { TunedRecord } from "./record.js"

/** The schedule of a record for a kernel, in the kernel's own names. */
export function tunedSchedule(kernel: Kernel, record: TunedRecord): Schedule | undefined {
  const { key, axes } = fingerprintOf(kernel)
  const found = Object.hasOwn(record.kernels, key) ? record.kernels[key] : undefined
  if (found === undefined || found.axes.length !== axes.length) return undefined
  const names = new Map(found.axes.map((name, i) => [name, axes[i]!]))
  return renamedAxes(scheduleForm, found.schedule, (name) => names.get(name) ?? name) as Schedule
}
