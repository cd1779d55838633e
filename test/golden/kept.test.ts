/**
 * Layers that see a window keep no more of the tokens: the memory of their states is the window and one piece, whatever the context is, and
 * goes round several times here.
 */
import { describe, expect, test } from "vitest"
import type { Artifact } from "../../runtime/artifact.js"
import { createWasmDevice } from "../../runtime/devices/wasm/device.js"
import { createWebgpuDevice } from "../../runtime/devices/webgpu/device.js"
import { available } from "../devices/conformance.js"
import { long, seed } from "../laws/settings.js"
import { adapterOf, compileCheckpoint } from "../support/driver.js"
import { loadGolden, normalisedError } from "../support/goldens.js"
import { equalPieces, greedyAfter, logitsInPieces, openSession } from "../support/session.js"

const devices = { wasm: () => createWasmDevice({ threads: 1 }), webgpu: () => createWebgpuDevice({ adapter: "any" }) }
const present = { wasm: await available("wasm", devices.wasm), webgpu: await available("webgpu", devices.webgpu) }

/** Layers that see all, their window, and what is compiled for pieces of 1, 7 and 32 has room for. */
const cases = [
  { name: "qwen3-window", full: 1, window: 8, context: 128, rooms: { 1: 16, 7: 16, 32: 40 } },
  { name: "mistral", full: 0, window: 8, context: 128, rooms: { 1: 16, 7: 16, 32: 40 } },
  { name: "qwen3-window-long", full: 1, window: 16, context: 512, rooms: { 1: 24, 7: 24, 32: 48 } },
] as const
const chunks = [1, 7, 32] as const

/** Rows of the caches of keys, layer by layer. */
const rowsOf = ({ buffers }: Artifact) =>
  buffers.filter((b) => /^states\.past\.\d+\.k$/.test(b.name)).map((b) => [b.shape[0], b.keeps])

describe.each(["wasm", "webgpu"] as const)("what is kept of a sequence on %s", (kind) => {
  const all = cases.flatMap((c) => chunks.map((chunk) => ({ ...c, chunk })))
  // In each run one of each case, and one where software takes its time over each shader, by its seed.
  const drawn = kind === "wasm" ? cases.map((_, i) => all[3 * i + ((seed + i) % 3)]!) : [all[seed % all.length]!]
  const some = long ? all : drawn
  test.skipIf(!present[kind]).each(some)(
    "$name in pieces of $chunk",
    async ({ name, chunk, full, window, context, rooms }) => {
      const golden = await loadGolden(name)
      const device = await devices[kind]()
      const options = { ...adapterOf(device), entries: ["prefill", "step", "logits", "greedy"], chunk }
      const compilation = await compileCheckpoint(golden.checkpoint, kind, options)
      expect(compilation.artifact.kernels.filter((k) => k.proven !== true)).toEqual([])
      expect(rowsOf(compilation.artifact)).toEqual([
        ...Array<unknown>(full).fill([context, undefined]),
        ...Array<unknown>(3 - full).fill([rooms[chunk], window]),
      ])
      const session = await openSession(compilation, device, golden.checkpoint)
      const ids = golden.ids[0]!
      const logits = await logitsInPieces(session, ids, equalPieces(ids.length, chunk))
      expect(normalisedError(logits, golden.logits[0]!)).toBeLessThan(1e-8)
      expect(await greedyAfter(session, ids, 16)).toEqual(golden.greedy[0])
      session.dispose()
      device.dispose()
      await golden.checkpoint.close()
    },
  )
})
