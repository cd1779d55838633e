import { emitWasm } from "../../compiler/targets/wasm/emit.js"
import { createWasmDevice } from "../../runtime/devices/wasm/device.js"
import { conformance, type Emit } from "./conformance.js"

const emit: Emit = (kernels, symbols) => {
  const out = emitWasm(kernels, { symbols })
  return {
    module: out.module,
    kernels: kernels.map((k, i) => ({
      name: k.name,
      source: "",
      bindings: k.buffers.map((b) => ({ access: b.access })),
      threads: k.threads,
      scratch: out.kernels[i]!.scratch,
    })),
  }
}

for (const threads of [1, 2])
  await conformance(`wasm with ${threads} threads`, () => createWasmDevice({ threads, shareFrom: 0 }), emit)
