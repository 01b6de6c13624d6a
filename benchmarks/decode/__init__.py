"""Reading a random second of video with its audio: this project, its peers, FFmpeg's limit."""
