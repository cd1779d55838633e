/**
 * A kernel's schedule in a record: found by structure, told in the kernel's own names.
 *
 *   { axes: ["seq", "out", "embed"], schedule: { … out: { block: 64 } … } }   for a kernel over (row, unit, channel)   →   unit: { block: 64 }
 *
 * Buffers and locals need no names of their own: those of a kernel that is compiled are canonical.
 */
import type { Kernel } from "../../ir/kernel.js"
import { renamedTile, type Schedule, type StagedTile, type StoreSchedule } from "../../ir/schedule.js"
import { fingerprintOf } from "../../kernel/fingerprint.js"
import type { TunedRecord } from "./record.js"

/** The schedule of a record for a kernel, in the kernel's own names. */
export function tunedSchedule(kernel: Kernel, record: TunedRecord): Schedule | undefined {
  const { key, axes } = fingerprintOf(kernel)
  const found = Object.hasOwn(record.kernels, key) ? record.kernels[key] : undefined
  if (found === undefined || found.axes.length !== axes.length) return undefined
  const names = new Map(found.axes.map((name, i) => [name, axes[i]!]))
  return renamedAxes(found.schedule, (name) => names.get(name) ?? name)
}

function renamedAxes(schedule: Schedule, to: (name: string) => string): Schedule {
  const keys = <T>(given: Readonly<Record<string, T>>): Record<string, T> =>
    Object.fromEntries(Object.entries(given).map(([name, x]) => [to(name), x]))
  const held = (given: Readonly<Record<string, StagedTile>>) =>
    Object.fromEntries(Object.entries(given).map(([name, h]) => [name, renamedTile(h, to)]))
  const store = (s: StoreSchedule): StoreSchedule => ({
    tile: keys(s.tile),
    reduce: keys(s.reduce),
    ...(s.raster === undefined ? {} : { raster: s.raster.map(to) }),
    ...(s.staged === undefined ? {} : { staged: held(s.staged) }),
    ...(s.computeWith === undefined
      ? {}
      : {
          computeWith: {
            store: s.computeWith.store,
            axes: Object.fromEntries(Object.entries(s.computeWith.axes).map(([mine, host]) => [to(mine), to(host)])),
          },
        }),
  })
  return { ...schedule, stores: schedule.stores.map(store), locals: keys(schedule.locals) }
}
