/** Before each file: test files share a process, and some go to folders of their own. */
import { fileURLToPath } from "node:url"

process.chdir(fileURLToPath(new URL("../..", import.meta.url)))
