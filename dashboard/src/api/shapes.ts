/** Answers by the names that the page uses for them; OpenAPI says what is in each. */

import type { Schemas } from "./client";

export type Pack = Schemas["PackAnswer"];
export type ListedPack = Schemas["ListedPack"];
export type PackBrief = Omit<ListedPack, "best_head">;
export type BestHead = Schemas["BestHeadAnswer"];
export type Statistics = Schemas["StatisticsAnswer"];
export type BulkAnswer = Schemas["Listing_Done_"];
export type Job = Schemas["JobAnswer"];
export type Progress = Job["progress"];
export type JobRequest = Schemas["JobRequest"];
export type Estimate = Schemas["EstimateAnswer"];
export type Head = Schemas["HeadAnswer"];
export type Metrics = Schemas["Metrics"];
export type Evaluation = Schemas["Evaluation"];
export type Epoch = Schemas["Epoch"];
export type Mistake = Schemas["Mistake"];
export type Dataset = Schemas["DatasetAnswer"];
export type Network = Schemas["NetworkAnswer"];
export type WorkerAtWork = Schemas["WorkerAnswer"];
