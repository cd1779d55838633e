/** What becomes of a device whose workers do not start, end, or are refused: a typed error, the others ended, never a wait for ever. */
import { Worker } from "node:worker_threads"
import fc from "fast-check"
import { describe, expect, test } from "vitest"
import { apply, fetch, literal, symbol, variable } from "../../compiler/ir/expression.js"
import { emitWasm } from "../../compiler/targets/wasm/emit.js"
import type { Device } from "../../runtime/devices/device.js"
import { createWasmDevice } from "../../runtime/devices/wasm/device.js"
import type { Spawn } from "../../runtime/devices/wasm/spawn.js"
import { WeftError } from "../../runtime/errors.js"
import { runs, seed } from "../laws/settings.js"
import { buffer, kernelOf, store } from "../targets/wasm-support.js"

const size = 64
const g = variable("g")
/** y[g] = x[g] + factor · step */
const kernel = (name: string, factor: number) =>
  kernelOf(
    [buffer("x", "f32", size), buffer("y", "f32", size, "readwrite")],
    size,
    [
      store(
        "y",
        g,
        apply(
          "add",
          fetch("x", g, "f32"),
          apply("mul", literal(factor, "f32"), apply("toF32", symbol("step", 100, 1))),
        ),
      ),
    ],
    { name, symbols: ["step"] },
  )

async function compile(device: Device, name: string, factor: number) {
  const k = kernel(name, factor)
  const out = emitWasm([k])
  const record = { name, source: "", bindings: k.buffers, threads: 1, scratch: out.kernels[0]!.scratch }
  const [compiled] = await device.compile({ kernels: [record], module: out.module }, out.symbols.length)
  const [x, y] = [device.allocate(4 * size, "x"), device.allocate(4 * size, "y")]
  const recording = device.record([{ kernel: compiled!, buffers: [x, y], groups: size }])
  return async (step: number): Promise<readonly number[]> => {
    device.submit([recording], Int32Array.of(step))
    return [...new Float32Array((await device.read(y, 0, 4 * size)).buffer as ArrayBuffer)]
  }
}
const all = (value: number) => Array(size).fill(value)

/** Node's workers; `head` runs in each before its source, `tells` is whether their ends are told. */
function crew(head: (worker: number) => string = () => "", tells = true) {
  const workers: Worker[] = []
  const ended = () =>
    Promise.all(workers.map((w) => (w.threadId < 0 ? undefined : new Promise((r) => w.once("exit", r)))))
  const spawn: Spawn = async (text) => {
    const port = `const { parentPort: p } = require("node:worker_threads")
      const port = { postMessage: (m) => p.postMessage(m), onMessage: (f) => p.on("message", f) };`
    const worker = new Worker(`${port}${head(workers.length)}\n${text}`, { eval: true })
    workers.push(worker)
    worker.unref()
    worker.on("error", () => {})
    return {
      postMessage: (m) => worker.postMessage(m),
      terminate: () => worker.terminate(),
      onMessage: (f) => {
        worker.on("message", f)
        worker.unref()
      },
      onError: (f) => worker.on("error", (error) => f(String(error))),
      ...(tells ? { onExit: (f) => worker.on("exit", (code) => f(`its thread ended with code ${code}`)) } : {}),
    }
  }
  return { spawn, workers, ended }
}
/** Ends the worker in its nth exchange of a claim, with the claim taken. */
const diesAt = (n: number, how: string) =>
  `const A = Atomics.compareExchange; let k = 0
   Atomics.compareExchange = (...x) => { const r = A(...x); if (r === x[2] && ++k === ${n}) { ${how} } return r };`

const code = (error: unknown) => (error instanceof WeftError ? error.code : `${error}`)
const refusal = (call: () => unknown) =>
  Promise.resolve()
    .then(call)
    .then(() => "nothing", code)

describe("a worker that does not start", () => {
  test.each([
    ["ends", "process.exit(3)", true],
    ["ends, and nothing tells it", "process.exit(3)", false],
    ["throws", 'throw new Error("not today")', true],
    ["does not answer", "port.onMessage = () => {}", false],
  ])("it %s", async (_, head, tells) => {
    const { spawn, ended } = crew((worker) => (worker === 1 ? head : ""), tells)
    expect(await refusal(() => createWasmDevice({ threads: 4, spawn }))).toBe("wasm/worker-failed")
    await ended()
  })

  test.each([0, 1, 3])("the system grants %i of 3: the device has fewer threads", async (granted) => {
    const { spawn, workers } = crew()
    const refusing: Spawn = (text) =>
      workers.length < granted ? spawn(text) : Promise.reject(new Error("ERR_WORKER_INIT_FAILED: EAGAIN"))
    const device = await createWasmDevice({ threads: 4, shareFrom: 0, spawn: refusing })
    expect(device.description).toBe(`WebAssembly, ${granted + 1} ${granted === 0 ? "thread" : "threads"}`)
    expect(await (await compile(device, "k", 3))(2)).toEqual(all(6))
    device.dispose()
  })
})

describe("a worker that ends", () => {
  test("between two calls: the device is lost, later calls say so, and it can be disposed of", async () => {
    const { spawn, workers, ended } = crew()
    const device = await createWasmDevice({ threads: 3, shareFrom: 0, spawn })
    const run = await compile(device, "k", 3)
    expect(await run(1)).toEqual(all(3))
    await workers[0]!.terminate()
    expect(await device.lost).toBe("a worker ended: its thread ended with code 1")
    expect(await refusal(() => run(2))).toBe("device/lost")
    expect(await refusal(() => compile(device, "other", 1))).toBe("device/lost")
    await ended()
    device.dispose()
    device.dispose()
  })

  test("and nothing tells it: another module is refused", async () => {
    const { spawn, workers, ended } = crew(undefined, false)
    const device = await createWasmDevice({ threads: 3, shareFrom: 0, spawn })
    const run = await compile(device, "k", 3)
    await workers[0]!.terminate()
    expect(await run(2)).toEqual(all(6))
    expect(await refusal(() => compile(device, "other", 1))).toBe("wasm/worker-failed")
    expect(await refusal(() => run(2))).toBe("device/lost")
    await ended()
    device.dispose()
  })

  test("in the middle of its piece: the call that waits for it fails, and the device is lost", async () => {
    const { spawn, ended } = crew((worker) => (worker === 0 ? diesAt(1, "process.exit(0)") : ""), false)
    const device = await createWasmDevice({ threads: 2, shareFrom: 0, spawn })
    const run = await compile(device, "k", 3)
    // On a busy machine the caller may do many calls alone before the worker takes a piece.
    let found: unknown
    for (let step = 1; typeof found !== "string" && step < 1_000_000; step++) found = await run(step % 100).catch(code)
    expect(found).toBe("device/kernel-failed")
    expect(await refusal(() => run(1))).toBe("device/lost")
    await ended()
    device.dispose()
  })

  test(`at any moment of a call: right numbers or a typed error, WEFT_SEED=${seed}`, async () => {
    const moment = fc.record({
      at: fc.integer({ min: 1, max: 30 }),
      how: fc.constantFrom("process.exit(0)", 'throw new Error("struck")', "process.exitCode = 3; process.exit()"),
      threads: fc.integer({ min: 2, max: 4 }),
      tells: fc.boolean(),
    })
    const property = fc.asyncProperty(moment, async ({ at, how, threads, tells }) => {
      const { spawn, ended } = crew((worker) => (worker === 0 ? diesAt(at, how) : ""), tells)
      const device = await createWasmDevice({ threads, shareFrom: 0, spawn })
      const run = await compile(device, "k", 3)
      for (let step = 1; step <= 40; step++) {
        const found = await run(step).catch(code)
        if (typeof found !== "string") expect(found).toEqual(all(3 * step))
        else {
          expect(found).toMatch(/^device\/(kernel-failed|lost)$/)
          expect(await refusal(() => run(step))).toBe("device/lost")
          break
        }
      }
      device.dispose()
      await ended()
    })
    await fc.assert(property, { seed, numRuns: runs(10) })
  })
})

test("modules that are loaded at the same time keep their own kernels", async () => {
  const device = await createWasmDevice({ threads: 3, shareFrom: 0 })
  const made = await Promise.all([1, 2, 3, 4].map((factor) => compile(device, `k${factor}`, factor)))
  for (let step = 0; step < 20; step++)
    for (const [i, run] of made.entries()) expect(await run(step)).toEqual(all((i + 1) * step))
  device.dispose()
})

test("a device that is disposed of while it takes a module", async () => {
  const device = await createWasmDevice({ threads: 3 })
  const loading = refusal(() => compile(device, "k", 1))
  device.dispose()
  expect(await loading).toBe("device/lost")
})
