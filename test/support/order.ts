/** Long files first, so that two workers end together; the others as vitest orders them. */
import { BaseSequencer, type TestSpecification } from "vitest/node"

/** The longest first; what is not here takes a few seconds at most. */
const long: readonly string[] = [
  "golden/devices",
  "plan/kernels",
  "golden/interpreted",
  "plan/shard",
  "laws/devices",
  "generate/tales",
  "targets/wgsl-valid",
  "explain/latency",
  "golden/fast",
  "cli/command",
  "laws/halves",
  "laws/online-lanes",
  "cli/lost",
  "cli/check",
  "cli/load",
  "laws/coverage",
  "cli/installed",
  "tune/record",
  "examples/examples",
  "tune/choices",
  "laws/unusual",
  "laws/targets",
  "cli/checkpoints",
  "passes/prefixes",
  "laws/split",
  "laws/chosen",
  "laws/long-sums",
  "laws/gather",
  "generate/stateful",
  "laws/folds",
  "laws/online",
  "sums/sums",
  "targets/cuda/products",
  "explain/online-operations",
  "generate/non-finite",
  "weights/upload",
  "cli/profile",
  "laws/prefixes",
  "laws/programs",
  "cli/bench",
  "cli/tune",
  "laws/fragments",
  "laws/products",
  "laws/online-fragments",
  "devices/cuda-compilers",
  "examples/program",
  "golden/tensor",
  "golden/grouped",
  "plan/storage",
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
