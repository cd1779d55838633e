/** Quantized files of every kind compute what transformers does with the weights that they decode to, on every device. */

import { readFileSync } from "node:fs"
import { mkdtemp, rm, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { describe, expect, test } from "vitest"
import type { Compilation } from "../../compiler/compile.js"
import { compileFile } from "../../compiler/internal.js"
import type { Device } from "../../runtime/devices/device.js"
import { createWasmDevice } from "../../runtime/devices/wasm/device.js"
import { createWebgpuDevice } from "../../runtime/devices/webgpu/device.js"
import type { Checkpoint } from "../../runtime/weights/checkpoint.js"
import { openCheckpoint } from "../../runtime/weights/folder.js"
import { matchParameters } from "../../runtime/weights/parameters.js"
import { available } from "../devices/conformance.js"
import { long, seed } from "../laws/settings.js"
import { adapterOf } from "../support/driver.js"
import { normalisedError } from "../support/goldens.js"
import { interpretedDevice } from "../support/interpreted.js"
import { logitsInPieces, openSession } from "../support/session.js"
import { folderFiles, folderMethods, ggufFile } from "./quantized-checkpoints.js"

const file = new URL("quantized.json", import.meta.url)
const goldens = JSON.parse(readFileSync(file, "utf8")) as Readonly<Record<string, string>>
const names = Object.keys(goldens)
const ids = Array.from({ length: 12 }, (_, i) => (i * 37 + 5) % 96)

/** The checkpoint of a golden, from files as anybody has them. */
async function open(name: string): Promise<Checkpoint> {
  const folder = await mkdtemp(join(tmpdir(), "weft-quantized-"))
  try {
    const [kind, ofExperts] = [name.split(",")[0]!, name.includes("experts")]
    if (folderMethods[kind] !== undefined) {
      const files = Object.entries(folderFiles(kind, ofExperts))
      for (const [path, content] of files) await writeFile(join(folder, path), content)
      return await openCheckpoint(folder)
    }
    const path = join(folder, "model.gguf")
    await writeFile(path, ggufFile(kind, ofExperts))
    return await openCheckpoint(path)
  } finally {
    // What is open can be read though its name is gone.
    await rm(folder, { recursive: true })
  }
}

type Opening = (compilation: Compilation) => Device | Promise<Device>

async function check(
  name: string,
  target: "wasm" | "webgpu",
  opening: Opening,
  pieces: readonly number[],
  adapter = {},
) {
  const checkpoint = await open(name)
  const { compilation } = await compileFile("models/qwen3.ts", checkpoint.config, target, {
    tensors: (expected, rules) => matchParameters(checkpoint, expected, rules),
    verify: true,
    ...adapter,
  })
  const device = await opening(compilation)
  const session = await openSession(compilation, device, checkpoint)
  const count = pieces.reduce((n, piece) => n + piece, 0)
  const bytes = Buffer.from(goldens[name]!, "base64")
  const expected = new Float32Array(new Uint8Array(bytes).buffer, 0, count * 96)
  expect(normalisedError(await logitsInPieces(session, ids, pieces), expected)).toBeLessThan(1e-8)
  session.dispose()
  await checkpoint.close()
}

/** All in a long run, else some by its seed. */
const drawn = (count: number) =>
  long ? names : names.filter((_, i) => (i + seed) % Math.ceil(names.length / count) === 0)

test("each kind of block and of folder has its golden", () => {
  expect(names).toHaveLength(12 + 3 + Object.keys(folderMethods).length + 2)
})

const webgpu = await available("webgpu", () => createWebgpuDevice({ adapter: "any" }))

describe("logits of transformers", () => {
  test.each(drawn(3))("%s on WebAssembly", async (name) => {
    const device = await createWasmDevice({ threads: 1 })
    await check(name, "wasm", () => device, [1, 7, 4])
    device.dispose()
  })

  test.skipIf(!webgpu).each(drawn(1))("%s on WebGPU", async (name) => {
    const device = await createWebgpuDevice({ adapter: "any" })
    await check(name, "webgpu", () => device, [1, 11], adapterOf(device))
    device.dispose()
  })

  test.each(drawn(1))("%s in the interpreter of kernels", (name) =>
    check(name, "wasm", (compilation) => interpretedDevice(compilation, "kernel"), [1, 3]),
  )
})
