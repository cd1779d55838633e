/** The CUDA device conforms on a driver in memory, whose kernels are interpreted and whose streams are late. */
import { interpretLoop } from "../../compiler/interpret/loop.js"
import { allocateBuffer, fromBytes, toBytes } from "../../compiler/interpret/memory.js"
import type { LoopKernel } from "../../compiler/ir/loop.js"
import { type FakeKernel, fakeDriver } from "../support/cuda-driver.js"
import { conformance, type Emit } from "./conformance.js"
import { open, record } from "./cuda-fake.js"

const interpreted =
  (kernel: LoopKernel, order: readonly string[]): FakeKernel =>
  (parameters, at) => {
    const values = at(parameters.at(-1)!)
    const words = new Int32Array(values.buffer, values.byteOffset, order.length)
    const memories = new Map(
      kernel.buffers.map((b, i) => {
        const count = (b.size as { value: number }).value
        const bytes = new Uint8Array(count * (b.storage === "bf16" || b.storage === "f16" ? 2 : 4))
        bytes.set(at(parameters[i]!).subarray(0, bytes.length))
        const memory = allocateBuffer(b.dtype, b.storage, count)
        memory.values.set(fromBytes(b.storage, bytes).values)
        return [b.name, memory] as const
      }),
    )
    interpretLoop(kernel, memories, new Map(order.map((name, i) => [name, words[i]!])), { trustWriteBuffers: true })
    for (const [i, b] of kernel.buffers.entries()) {
      const to = at(parameters[i]!)
      if (b.access !== "read") to.set(toBytes(memories.get(b.name)!).subarray(0, to.length))
    }
  }

const whole = fakeDriver(2 ** 28)
const emit: Emit = (kernels, order) => ({
  kernels: kernels.map((k) => {
    const symbol = k.name.replaceAll(" ", "_")
    whole.kernels.set(symbol, interpreted(k, order))
    return { ...record(symbol, k.buffers.length), name: k.name, early: true as const }
  }),
})
await conformance("cuda on a driver in memory", async () => open(whole), emit)
