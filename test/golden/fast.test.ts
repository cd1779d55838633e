/** The goldens in precision `fast`: bf16 between kernels, as compiler/tensor/storage.ts decides. */
import { describe, expect, test } from "vitest"
import { allocateBuffer, fromBytes, toBytes, writeElement } from "../../compiler/interpret/memory.js"
import { createWebgpuDevice } from "../../runtime/devices/webgpu/device.js"
import { validateWgsl } from "../../runtime/devices/webgpu/validate.js"
import { createSession, type Session } from "../../runtime/session.js"
import { available } from "../devices/conformance.js"
import { long, seed } from "../laws/settings.js"
import { adapterOf, compileCheckpoint } from "../support/driver.js"
import { goldenNames, loadGolden, longGoldens } from "../support/goldens.js"
import { interpretedDevice } from "../support/interpreted.js"
import { logitsOf, openSession } from "../support/session.js"
import { checkFast, checkFastLong, checkRounded } from "./checks.js"

/** The interpreters are dear: one golden goes through each in a run, and all of them in a long one. */
const interpreted = {
  kernel: long ? goldenNames : ["qwen3-moe-mixed"],
  loop: long ? goldenNames : ["qwen3-moe-mixed"],
  halves: long ? ["qwen3", "qwen3-moe-mixed"] : ["qwen3"],
}

describe.each(["kernel", "loop"] as const)("fast goldens through the %s interpreter", (language) => {
  test.each(interpreted[language])("%s", async (name) => {
    const golden = await loadGolden(name)
    const compilation = await compileCheckpoint(golden.checkpoint, "webgpu", { entries: ["logits"], precision: "fast" })
    expect(rounded(compilation.artifact.buffers)).toEqual(["scratch", "state"])
    const session = await openSession(compilation, interpretedDevice(compilation, language), golden.checkpoint)
    const ids = golden.ids[0]!.slice(0, 14)
    checkRounded(golden, 0, await logitsOf(session, ids, 9))
    await golden.checkpoint.close()
  })
})

describe("fast goldens with products in f16, as for hardware, through the loop interpreter", () => {
  // In layers with a router all that it hangs on is kept, and so computed, in f32.
  test.each(interpreted.halves)("%s", async (name) => {
    const golden = await loadGolden(name)
    const adapter = { subgroupSize: 32, workgroupBytes: 49152, f16: true }
    const options = { entries: ["logits"], precision: "fast", adapter } as const
    const compilation = await compileCheckpoint(golden.checkpoint, "webgpu", options)
    const halves = compilation.artifact.kernels.filter((k) => k.source.includes("enable f16;"))
    expect(halves.length).toBeGreaterThan(2)
    const session = await openSession(compilation, interpretedDevice(compilation, "loop"), golden.checkpoint)
    checkRounded(golden, 0, await logitsOf(session, golden.ids[0]!.slice(0, 8), 8))
    await golden.checkpoint.close()
  })
})

describe("fast goldens with weights in f16 by subgroup matrices, through the loop interpreter", () => {
  // One that has all kinds of products; the whole row of a prompt is one block.
  test.each(long ? ["qwen3", "qwen3-moe-mixed"] : ["qwen3"])("%s", async (name) => {
    const golden = await loadGolden(name)
    const facts = { subgroupSize: 32, workgroupBytes: 49152, storageBuffers: 16, f16: true } as const
    const adapter = { ...facts, matrices: "template" as const }
    const options = { entries: ["logits"], precision: "fast", adapter, storage: () => "f16" as const } as const
    const compilation = await compileCheckpoint(golden.checkpoint, "webgpu", options)
    const multiplied = compilation.artifact.kernels.filter((k) => k.source.includes("subgroupMatrixMultiplyAccumulate"))
    expect(multiplied.length).toBeGreaterThan(3)
    expect(await validateWgsl(multiplied)).toEqual([])
    const session = await createSession(compilation.artifact, interpretedDevice(compilation, "loop"), {
      read: async (w, offset, length) =>
        asHalves(await golden.checkpoint.read(golden.checkpoint.tensors.get(w.tensor)!, offset, length)),
    })
    checkRounded(golden, 0, await logitsOf(session, golden.ids[0]!.slice(0, 20), 20))
    await golden.checkpoint.close()
  })
})

/** Weights in bf16 as the nearest f16. */
function asHalves(bytes: Uint8Array): Uint8Array {
  const made = allocateBuffer("f32", "f16", bytes.length / 2)
  for (const [i, value] of fromBytes("bf16", bytes).values.entries()) writeElement(made, i, value)
  return toBytes(made)
}

/** The roles of the buffers that hold bf16 though the program computes f32. */
const rounded = (buffers: Session["artifact"]["buffers"]): readonly string[] =>
  [...new Set(buffers.filter((b) => b.storage === "bf16" && b.role !== "weight").map((b) => b.role))].sort()

const open = () => createWebgpuDevice({ adapter: "any" })
const present = await available("webgpu", open)
const entries = ["logits"]

/** On the software adapter each takes seconds: in a run one of them, by its seed, and all in a long one. */
const onDevice: readonly string[] = long
  ? goldenNames
  : [["qwen3", "qwen3-window", "qwen3-moe", "qwen3-moe-mixed"][(seed >> 1) % 4]!]

describe.skipIf(!present)("fast goldens on webgpu", () => {
  test.each(onDevice)("%s", async (name) => {
    const golden = await loadGolden(name)
    const device = await open()
    const options = { ...adapterOf(device), entries, precision: "fast" as const }
    const session = await openSession(
      await compileCheckpoint(golden.checkpoint, "webgpu", options),
      device,
      golden.checkpoint,
    )
    await checkFast(session, golden)
    session.dispose()
    device.dispose()
    await golden.checkpoint.close()
  })

  test.each(long ? longGoldens : [longGoldens[seed % 2]!])("$name", async ({ name, from }) => {
    const golden = await loadGolden(name)
    const device = await open()
    const options = { ...adapterOf(device), entries, chunk: golden.ids[0]!.length, precision: "fast" as const }
    const session = await openSession(
      await compileCheckpoint(golden.checkpoint, "webgpu", options),
      device,
      golden.checkpoint,
    )
    await checkFastLong(session, golden, from)
    session.dispose()
    device.dispose()
    await golden.checkpoint.close()
  })
})
