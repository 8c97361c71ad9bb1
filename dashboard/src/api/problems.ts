/** What went wrong, in words: the service's problem documents, and what has no document. */

export interface ProblemDocument {
  status: number;
  title: string;
  detail: string;
  remedy: string;
}

export class Problem extends Error {
  /** `status` is 0 where no answer came at all. */
  constructor(
    readonly status: number,
    readonly title: string,
    readonly detail: string,
    readonly remedy: string,
    readonly retryAfterSeconds: number | null = null,
  ) {
    super(detail);
  }

  /** It may pass by itself: nobody answered, too much at once, or a part is away. */
  get passes(): boolean {
    return this.status === 0 || this.status === 429 || this.status >= 502;
  }

  /** The service itself is not there; its proxy may say so with 502 or 504. */
  get unreachable(): boolean {
    return this.status === 0 || this.status === 502 || this.status === 504;
  }
}

const WORDS: Record<number, [title: string, remedy: string]> = {
  0: ["The service does not answer", "It may be restarting; this page goes on when it is back."],
  401: ["You are not signed in", "Sign in with your team's key."],
  403: ["This is not allowed to you", "Ask whoever runs the service for the right to do it."],
  404: ["It is not there", "It may have been deleted or evicted since."],
  429: ["Too much at once", "The service is busy; it is tried again in a moment."],
  503: ["A part of the service is away", "It is tried again in a moment."],
};

/** The problem that an answer is; `body` is its JSON, if it has any. */
export function problemOf(status: number, body: unknown, retryAfter: string | null): Problem {
  const [title, remedy] = WORDS[status] ?? ["Something went wrong", "Try again."];
  const told = (typeof body === "object" && body !== null ? body : {}) as Partial<ProblemDocument>;
  const seconds = Number(retryAfter);
  return new Problem(
    status,
    title,
    told.detail ?? `The service answered with status ${status}.`,
    told.remedy ?? remedy,
    retryAfter !== null && Number.isFinite(seconds) ? seconds : null,
  );
}

export function unreachable(): Problem {
  const [title, remedy] = WORDS[0]!;
  return new Problem(0, title, "No answer came from it.", remedy);
}

export function asProblem(error: unknown): Problem {
  if (error instanceof Problem) return error;
  const detail = error instanceof Error ? error.message : String(error);
  return new Problem(-1, "This page made a mistake", detail, "Load the page again.");
}
