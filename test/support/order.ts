/** Long files first, so that two workers end together; the others as vitest orders them. */
import { BaseSequencer, type TestSpecification } from "vitest/node"

/** The longest first; what is not here takes a few seconds at most. */
const long: readonly string[] = [
  "golden/devices",
  "cli/command",
  "golden/interpreted",
  "plan/shard",
  "generate/tales",
  "targets/wgsl-valid",
  "explain/latency",
  "plan/kernels",
  "cli/check",
  "generate/stateful",
  "cli/bench",
  "cli/installed",
  "golden/fast",
  "laws/long-sums",
  "laws/coverage",
  "laws/devices",
  "tune/choices",
  "tune/record",
  "cli/tune",
  "golden/grouped",
  "laws/halves",
  "laws/chosen",
  "cli/load",
  "plan/storage",
  "passes/prefixes",
  "examples/examples",
  "laws/online",
  "laws/targets",
]

const place = ({ moduleId }: TestSpecification): number => {
  const at = long.findIndex((name) => moduleId.endsWith(`test/${name}.test.ts`))
  return at < 0 ? long.length : at
}

export class LongestFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const others = await super.sort(files)
    return [...others].sort((a, b) => place(a) - place(b))
  }
}
