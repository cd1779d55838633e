/**
 * Checks what an artifact says of memory, after each number in it has been checked by itself.
 *
 *     launch 3 writes "t4" in slot 7, launch 4 writes "t9" in slot 7, launch 5 reads "t4"      →  refused: slot 7 holds "t9"
 *
 * Slots are large enough, those of kept buffers are not shared, none is written while it is bound twice, and scratch memory that is read
 * still holds what was written. A buffer that nothing uses is nowhere.
 */
import type { Artifact, ArtifactBuffer } from "./artifact.js"
import { wrong } from "./artifact-fields.js"
import { printable } from "./errors.js"

export function checkMemory({ slots, buffers, kernels, entries }: Artifact): void {
  const launches = Object.entries(entries).flatMap(([name, e]) =>
    e.launches.map((l, i) => ({ ...l, at: `${name}[${i}]` })),
  )
  const used = new Set(launches.flatMap((l) => l.buffers))
  const owners = new Map<number, ArtifactBuffer>()
  for (const [i, b] of buffers.entries()) {
    if (b.role === "scratch" && !used.has(i)) continue
    if (b.bytes > slots[b.slot]!.bytes)
      wrong(`buffers[${i}].bytes`, b.bytes, `at most the ${slots[b.slot]!.bytes} of its slot`)
    const owner = owners.get(b.slot)
    if (owner !== undefined && (owner.role !== "scratch" || b.role !== "scratch"))
      wrong(`buffers[${i}].slot`, b.slot, `not that of ${printable(owner.name)}, for one of them is kept`)
    owners.set(b.slot, b)
  }
  for (const { at, buffers: bound, kernel } of launches) {
    const { bindings } = kernels[kernel]!
    const writes = new Map<number, boolean>()
    for (const [j, b] of bound.entries()) {
      const slot = buffers[b]!.slot
      const write = bindings[j]!.access !== "read"
      if (writes.has(slot) && (write || writes.get(slot)))
        wrong(`entries.${at}`, `slot ${slot} twice`, "a launch that binds what it writes once")
      writes.set(slot, write || writes.get(slot) === true)
    }
  }
  for (const entry of Object.keys(entries)) checkContents(entry, buffers, kernels, entries[entry]!.launches)
}

/** Scratch memory holds, when it is read, what the same entry has written into it: no other buffer took its slot in between. */
function checkContents(
  entry: string,
  buffers: Artifact["buffers"],
  kernels: Artifact["kernels"],
  launches: Artifact["entries"][string]["launches"],
): void {
  const holds = new Map<number, number>()
  for (const [i, launch] of launches.entries()) {
    const { bindings } = kernels[launch.kernel]!
    const scratch = launch.buffers.map((b, j) => ({ b, j })).filter(({ b }) => buffers[b]!.role === "scratch")
    for (const { b, j } of scratch) {
      const { slot, name } = buffers[b]!
      const found = holds.get(slot)
      if (bindings[j]!.access !== "write" && found !== b)
        wrong(
          `entries.${entry}.launches[${i}].buffers[${j}]`,
          found === undefined ? "memory that nothing has written" : buffers[found]!.name,
          `${printable(name)} in slot ${slot}`,
        )
    }
    for (const { b, j } of scratch) if (bindings[j]!.access !== "read") holds.set(buffers[b]!.slot, b)
  }
}
