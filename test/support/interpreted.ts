/**
 * A device made of an interpreter: runs the kernels of a compilation as kernel-language or loop-language programs.
 */
import type { Compilation } from "../../compiler/compile.js"
import { interpretKernel } from "../../compiler/interpret/kernel.js"
import { interpretLoop } from "../../compiler/interpret/loop.js"
import { allocateBuffer, fromBytes, type Memory, toBytes } from "../../compiler/interpret/memory.js"
import type { Adder } from "../../compiler/interpret/units.js"
import type { Device, DeviceBuffer } from "../../runtime/devices/device.js"

interface Interpreted extends DeviceBuffer {
  /** The memory by dtype and storage: slots are shared by buffers of different kinds. */
  bytesNow: Uint8Array
}

/** `subgroup`: lanes that may exchange values; all of a workgroup when left out. `adder`: how matrix units add; each sum is rounded when left out. */
export function interpretedDevice(
  compilation: Compilation,
  language: "kernel" | "loop",
  subgroup?: number,
  adder?: Adder,
): Device {
  const counters = { pipelines: 0, submits: 0, commands: 0, allocatedBytes: 0 }
  const { symbols } = compilation.artifact
  return {
    kind: compilation.artifact.target,
    description: `${language} interpreter`,
    fallback: true,
    ahead: 1,
    limits: { bufferBytes: 2 ** 32, bindingBytes: 2 ** 32 },
    allocate: (bytes) => ({ bytes, bytesNow: new Uint8Array(bytes), destroy() {} }) as Interpreted,
    upload: (to, offset, data) => (to as Interpreted).bytesNow.set(data, offset),
    compile: async ({ kernels }) => kernels.map(({ name }) => ({ name })),
    record: (commands) => ({ commands: commands.length, list: commands }) as never,
    submit(recordings, values) {
      const sizes = new Map(symbols.map((s, i) => [s.name, values[i]!] as const))
      for (const r of recordings as unknown as { list: { kernel: { name: string }; buffers: Interpreted[] }[] }[])
        for (const { kernel, buffers } of r.list) {
          const { kernel: k, loops } = compilation.kernels.find((c) => c.loops.name === kernel.name)!
          const memories = new Map<string, Memory>()
          for (const [i, b] of loops.buffers.entries()) {
            const count = k.buffers[i]!.shape.reduce((n, s) => n * s, 1)
            const width = b.storage === "bf16" || b.storage === "f16" ? 2 : 4
            const memory = allocateBuffer(b.dtype, b.storage, count)
            memory.values.set(fromBytes(b.storage, buffers[i]!.bytesNow.subarray(0, count * width)).values)
            memories.set(b.name, memory)
          }
          if (language === "kernel") interpretKernel(k, memories, sizes)
          else
            interpretLoop(loops, memories, sizes, {
              trustWriteBuffers: true,
              ...(subgroup === undefined ? {} : { subgroup }),
              ...(adder === undefined ? {} : { adder }),
            })
          for (const [i, b] of loops.buffers.entries())
            if (b.access !== "read") buffers[i]!.bytesNow.set(toBytes(memories.get(b.name)!))
        }
    },
    read: async (from, offset, bytes) => (from as Interpreted).bytesNow.slice(offset, offset + bytes),
    lost: new Promise(() => {}),
    counters,
    dispose() {},
  }
}
