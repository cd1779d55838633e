/** How jobs get to a device: the emitters of the laws. */
import { type Target, targetFor } from "../../compiler/targets/target.js"
import { emitWasm } from "../../compiler/targets/wasm/emit.js"
import { wgslKernel } from "../../compiler/targets/wgsl/emit.js"
import type { WebgpuDevice } from "../../runtime/devices/webgpu/device.js"
import { WeftError } from "../../runtime/errors.js"
import { type Emit, type Job, symbolOrder } from "./jobs.js"

export const wasmEmit: Emit = (loops) => {
  const { module, kernels } = emitWasm(loops, { symbols: symbolOrder })
  return {
    module,
    kernels: loops.map((l, i) => ({
      name: l.name,
      source: "",
      bindings: l.buffers,
      threads: l.threads,
      scratch: kernels[i]!.scratch,
    })),
  }
}

export interface WebgpuEmitter {
  readonly target: Target
  readonly emit: Emit
  /** The code with which a kernel does not fit the adapter. */
  readonly refusal: (job: Job) => string | undefined
}

export function webgpuEmitter(device: WebgpuDevice): WebgpuEmitter {
  const options = { symbolOrder, limits: device.adapterInfo.limits }
  const subgroup = Math.max(1, Math.min(device.adapterInfo.subgroupMinSize, 32))
  return {
    target: targetFor("webgpu", { subgroupSize: subgroup }),
    emit: (loops) => ({ kernels: loops.map((l) => wgslKernel(l, options)), module: new Uint8Array(0) }),
    refusal: ({ loops }) => {
      try {
        wgslKernel(loops, options)
        return undefined
      } catch (e) {
        if (e instanceof WeftError) return e.code
        throw e
      }
    },
  }
}
