/** Long files first, so that two workers end together; the others as vitest orders them. */
import { BaseSequencer, type TestSpecification } from "vitest/node"

/** The longest first; what is not here takes a few seconds at most. */
const long: readonly string[] = [
  "golden/devices",
  "golden/interpreted",
  "plan/shard",
  "golden/fast",
  "explain/latency",
  "generate/tales",
  "cli/command",
  "cli/lost",
  "targets/wgsl-valid",
  "plan/kernels",
  "laws/unusual",
  "laws/halves",
  "laws/split",
  "laws/online-lanes",
  "laws/coverage",
  "cli/installed",
  "laws/devices",
  "tune/record",
  "cli/check",
  "tune/choices",
  "cli/load",
  "laws/targets",
  "cli/checkpoints",
  "laws/folds",
  "examples/program",
  "generate/stateful",
  "cli/bench",
  "cli/tune",
  "laws/chosen",
  "explain/online-operations",
  "passes/prefixes",
  "plan/storage",
  "examples/examples",
  "generate/non-finite",
  "laws/gather",
  "laws/online",
  "golden/grouped",
  "laws/long-sums",
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
