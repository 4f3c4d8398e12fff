import type { ControlPlane } from "./client.ts";
import type { CommandShape } from "./command-shape.ts";
import type { Credentials } from "./credentials.ts";
import type { Output } from "./output.ts";
import type { Terminal } from "./terminal.ts";

/** What a command works with. */
export interface Context {
  readonly terminal: Terminal;
  readonly output: Output;
  /** Every command there is, for completion. */
  readonly commands: readonly CommandShape[];
  /** An organization's id or name; empty means the caller's default organization. */
  readonly organization: string;
  /** Shows the help of a command or a group, and answers the exit code; no words mean the whole program. */
  showHelp(words: readonly string[]): Promise<number>;
  /** Where the control plane is; found at the first use. */
  credentials(): Credentials;
  /** The control plane; connected at the first use. */
  controlPlane(): Promise<ControlPlane>;
  /** Whether the control plane has answered a call of this command. */
  hasReached(): boolean;
}
