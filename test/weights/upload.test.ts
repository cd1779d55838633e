import { expect, it } from "vitest"
import type { Artifact, ArtifactWeight } from "../../runtime/artifact.js"
import type { Device, DeviceBuffer, Region } from "../../runtime/devices/device.js"
import { uploadWeights, type WeightSource } from "../../runtime/weights/upload.js"

const mebi = 1 << 20

/** Weights of so many bytes, one after the other in one buffer. */
function weightsOf(sizes: readonly number[]): Artifact {
  let offset = 0
  const weights = sizes.map((bytes, i) => {
    const weight = { tensor: `w${i}`, storage: "f32", shape: [bytes / 4], buffer: 0, offset }
    offset += bytes
    return weight
  })
  return { weights } as unknown as Artifact
}

/** A device that notes what is open, and keeps the bytes: in `memory`, empty at first. */
function noting(staged: boolean) {
  memory.fill(0)
  const log = { open: 0, most: 0, largest: 0, abandoned: 0 }
  const upload = (_: DeviceBuffer, offset: number, data: Uint8Array) => memory.set(data, offset)
  const stage = async (regions: readonly Region[]) => {
    log.most = Math.max(log.most, ++log.open)
    log.largest = Math.max(
      log.largest,
      regions.reduce((n, r) => n + r.bytes, 0),
    )
    const close = () => void log.open--
    return {
      parts: regions.map((r) => memory.subarray(r.offset, r.offset + r.bytes)),
      finish: close,
      abandon: () => {
        log.abandoned++
        close()
      },
    }
  }
  const device = { upload, ...(staged ? { stage } : {}) } as unknown as Device
  return { device, log }
}

/** The number of the tensor, and at each 4,096th byte which one that is. */
function bytesOf(weight: ArtifactWeight, from: number, length: number, into: Uint8Array = new Uint8Array(length)) {
  into.fill(Number(weight.tensor.slice(1)) + 100)
  for (let at = Math.ceil(from / 4096) * 4096; at < from + length; at += 4096) into[at - from] = (at >> 12) & 255
  return into
}
const to: DeviceBuffer = { bytes: 0, destroy: () => {} }
const nothing = () => {}

// Two of nine megabytes are not of one batch: so few megabytes make nine of them.
const sizes = [
  40 * mebi,
  4,
  1000,
  16 * mebi,
  12,
  3 * mebi,
  ...Array<number>(10).fill(mebi),
  ...Array<number>(4).fill(9 * mebi),
]
const total = sizes.reduce((a, b) => a + b)

// What all tests share: fresh memory takes longer than what is done with it.
const memory = new Uint8Array(total)
const wanted = new Uint8Array(Math.max(...sizes))

it.each([
  ["what the source returns", true, (w, from, length) => bytesOf(w, from, length)],
  ["what the source reads into memory of the device", true, (w, from, length, into) => bytesOf(w, from, length, into)],
  ["what the source returns, where a device stages nothing", false, (w, from, length) => bytesOf(w, from, length)],
] as readonly [string, boolean, (...of: Parameters<WeightSource["read"]>) => Uint8Array][])(
  "uploads %s",
  async (_, staged, read) => {
    const artifact = weightsOf(sizes)
    const { device, log } = noting(staged)
    const progress: number[] = []
    const source: WeightSource = { read: async (...of) => read(...of) }
    await uploadWeights(
      artifact,
      device,
      () => to,
      source,
      (done, all) => {
        expect(all).toBe(total)
        progress.push(done)
      },
    )
    for (const w of artifact.weights) {
      const found = memory.subarray(w.offset, w.offset + w.shape[0]! * 4)
      expect(Buffer.compare(found, bytesOf(w, 0, found.length, wanted.subarray(0, found.length))), w.tensor).toBe(0)
    }
    expect(progress.at(-1)).toBe(total)
    expect(progress).toEqual([...progress].sort((a, b) => a - b))
    expect(log).toEqual(
      staged ? { open: 0, most: 8, largest: 16 * mebi, abandoned: 0 } : { open: 0, most: 0, largest: 0, abandoned: 0 },
    )
  },
)

it("has several reads under way, and ends no sooner than all of them after one that fails", async () => {
  const { device, log } = noting(true)
  let [open, most, begun, failed] = [0, 0, 0, false]
  const source: WeightSource = {
    async read(weight, from, length) {
      begun++
      most = Math.max(most, ++open)
      expect(failed).toBe(false)
      await new Promise((resolve) => setTimeout(resolve, weight.tensor === "w3" ? 1 : 100))
      open--
      if (weight.tensor !== "w3") return bytesOf(weight, from, length)
      failed = true
      throw new Error("the medium is gone")
    },
  }
  await expect(uploadWeights(weightsOf(sizes), device, () => to, source, nothing)).rejects.toMatchObject({
    code: "session/weights",
    message: expect.stringContaining("the medium is gone"),
  })
  expect(most).toBeGreaterThan(3)
  expect(begun).toBeLessThan(12)
  expect([open, log.open]).toEqual([0, 0])
  expect(log.abandoned).toBeGreaterThan(0)
})

it.each([
  ["fewer bytes", async () => new Uint8Array(3), "gave 3 bytes in place of 8"],
  ["no bytes", async () => 5, "gave 5"],
])("refuses %s", async (_, read, message) => {
  const { device } = noting(true)
  const source = { read } as unknown as WeightSource
  await expect(uploadWeights(weightsOf([8]), device, () => to, source, nothing)).rejects.toMatchObject({
    code: "session/weights",
    message: expect.stringContaining(message),
  })
})

it("ends with what the reader of progress throws", async () => {
  const { device, log } = noting(true)
  const source: WeightSource = { read: async (w, from, length) => bytesOf(w, from, length) }
  const broken = () => {
    throw new Error("the bar is broken")
  }
  await expect(uploadWeights(weightsOf(sizes), device, () => to, source, broken)).rejects.toThrow("the bar is broken")
  expect(log.open).toBe(0)
})
