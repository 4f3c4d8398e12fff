import { overlayContract } from "./contract.ts";
import { createMemoryOverlay } from "./memory-overlay.ts";

overlayContract("memory", { create: createMemoryOverlay, nowhere: "nowhere" });
