/** Long files first, so that two workers end together; the others as vitest orders them. */
import { BaseSequencer, type TestSpecification } from "vitest/node"

/** The longest first; what is not here takes a few seconds at most. */
const long: readonly string[] = [
  "golden/devices",
  "cli/quantize",
  "plan/kernels",
  "models/formats",
  "cli/command",
  "cli/installed",
  "explain/latency",
  "golden/interpreted",
  "laws/devices",
  "generate/tales",
  "plan/shard",
  "cli/compile-cuda",
  "cli/bench",
  "generate/stateful",
  "laws/halves",
  "golden/fast",
  "cli/lost",
  "laws/programs",
  "laws/coverage",
  "laws/gather",
  "laws/targets",
  "laws/online-fragments",
  "cli/tune",
  "explain/online-operations",
  "laws/unusual",
  "tune/choices",
  "models/quantized",
  "sums/sums",
  "cli/check",
  "chat/chat",
  "gguf/goldens",
  "passes/integer-sums",
  "laws/folds",
  "laws/prefixes",
  "chat/kept",
  "frontend/observed",
  "laws/split",
  "targets/wgsl-valid",
  "weights/upload",
  "examples/examples",
  "laws/online",
  "laws/products",
  "tune/record",
  "pages/pages",
  "generate/generate",
  "devices/webgpu-matrices",
  "laws/online-boxes",
  "examples/host",
  "formats/blocks",
  "plan/storage",
  "cli/checkpoints",
  "devices/wasm",
  "targets/wasm-operations",
  "laws/chosen",
  "cli/load",
  "laws/online-lanes",
  "quantize/quantizers",
  "types/readme",
  "laws/fragments",
  "ir/expression",
  "cli/profile",
  "golden/tensor",
  "targets/cuda/online",
  "laws/direct",
  "laws/shard",
  "gguf/tokenizer",
  "passes/prefixes",
]

const place = ({ moduleId }: TestSpecification): number => {
  const at = long.findIndex((name) => new RegExp(`test/${name}\\.[a-z]+\\.ts$`).test(moduleId))
  return at < 0 ? long.length : at
}

export class LongestFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const others = await super.sort(files)
    return [...others].sort((a, b) => place(a) - place(b))
  }
}
