/** Logits and greedy tokens of transformers on every device, fed in one piece, in chunks and token by token. */
import { describe, test } from "vitest"
import { createWasmDevice } from "../../runtime/devices/wasm/device.js"
import { createWebgpuDevice } from "../../runtime/devices/webgpu/device.js"
import { available } from "../devices/conformance.js"
import { long, seed } from "../laws/settings.js"
import { adapterOf, compileCheckpoint } from "../support/driver.js"
import { drawnGoldens, goldenNames, loadGolden, longGoldens } from "../support/goldens.js"
import { openSession } from "../support/session.js"
import { checkExact, checkExactLong, equal, mixed } from "./checks.js"

const entries = ["prefill", "step", "logits", "greedy"]
const devices = { wasm: () => createWasmDevice({ threads: 1 }), webgpu: () => createWebgpuDevice({ adapter: "any" }) }

const present = { wasm: await available("wasm", devices.wasm), webgpu: await available("webgpu", devices.webgpu) }

/** Those that the interpreter of tensors does not have in this run; all in long ones. */
const onWasm = long ? goldenNames : goldenNames.filter((_, i) => i % 2 !== seed % 2)

describe.each(["wasm", "webgpu"] as const)("golden logits and tokens on %s", (kind) => {
  test.skipIf(!present[kind]).each(kind === "wasm" ? onWasm : drawnGoldens)("%s", async (name) => {
    const golden = await loadGolden(name)
    const device = await devices[kind]()
    const compilation = await compileCheckpoint(golden.checkpoint, kind, { ...adapterOf(device), entries })
    const session = await openSession(compilation, device, golden.checkpoint)
    await checkExact(session, golden, long || kind === "wasm" ? equal : mixed)
    session.dispose()
    device.dispose()
    await golden.checkpoint.close()
  })

  // A software adapter takes ten seconds for one: it has one of them in every other run.
  test
    .skipIf(!present[kind])
    .each(long || kind === "wasm" ? longGoldens : longGoldens.filter((_, i) => i === seed % 4))(
    "$name: all at once, and from $from on in pieces of 1, 7 and 32",
    async (long) => {
      const golden = await loadGolden(long.name)
      const device = await devices[kind]()
      const options = { ...adapterOf(device), entries, chunk: golden.ids[0]!.length }
      const session = await openSession(
        await compileCheckpoint(golden.checkpoint, kind, options),
        device,
        golden.checkpoint,
      )
      await checkExactLong(session, golden, long.from)
      session.dispose()
      device.dispose()
      await golden.checkpoint.close()
    },
  )
})
