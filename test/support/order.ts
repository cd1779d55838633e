/** Long files first, so that two workers end together; the others as vitest orders them. */
import { BaseSequencer, type TestSpecification } from "vitest/node"

/** The longest first; what is not here takes a few seconds at most. */
const long: readonly string[] = [
  "golden/devices",
  "cli/command",
  "golden/fast",
  "generate/tales",
  "golden/interpreted",
  "plan/shard",
  "tune/record",
  "targets/wgsl-valid",
  "cli/tune",
  "golden/grouped",
  "laws/halves",
  "laws/devices",
  "laws/chosen",
  "cli/check",
  "cli/load",
  "plan/storage",
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
