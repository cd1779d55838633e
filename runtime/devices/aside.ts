/** Regions that are filled in memory of their own and uploaded from there: one copy more, on any device. */
import type { Device, Filling, Region } from "./device.js"

export function fillAside(device: Pick<Device, "upload">, regions: readonly Region[]): Filling {
  const parts = regions.map((r) => new Uint8Array(r.bytes))
  return {
    parts,
    finish: () => {
      for (const [i, { to, offset }] of regions.entries()) device.upload(to, offset, parts[i]!)
    },
    abandon: () => {},
  }
}
