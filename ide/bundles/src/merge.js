// Two texts beside each other, or one with the other's lines in it.

export {acceptChunk, diff, getChunks, goToNextChunk, goToPreviousChunk, MergeView, rejectChunk, unifiedMergeView} from "@codemirror/merge";
